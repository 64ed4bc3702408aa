// SPDX-License-Identifier: GPL-2.0
/*
 * The thermal zone of a processor, with the temperature that somebody says: for the virtual bench,
 * whose emulated board has none.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/thermal.h>

static int millicelsius = 45000;
module_param(millicelsius, int, 0644);
MODULE_PARM_DESC(millicelsius, "Temperature, in thousandths of a degree Celsius");

static struct thermal_zone_device *zone;

static int get_temp(struct thermal_zone_device *asked, int *temperature)
{
	*temperature = millicelsius;
	return 0;
}

static const struct thermal_zone_device_ops operations = {
	.get_temp = get_temp,
};

static int __init start(void)
{
	zone = thermal_tripless_zone_device_register("cpu-thermal", NULL, &operations, NULL);
	return PTR_ERR_OR_ZERO(zone);
}

static void __exit stop(void)
{
	thermal_zone_device_unregister(zone);
}

module_init(start);
module_exit(stop);
MODULE_DESCRIPTION("Thermal zone of a simulated processor");
MODULE_LICENSE("GPL");
