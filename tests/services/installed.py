"""Words the preparation of a guest under systemd: node and hub as on a machine of their own."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PYTHON = Path(sys.executable).resolve().name
# Python may live in a home directory, which the units do not see: it is shown below /opt.
PREPARE = f"""set -x
useradd --system --groups video simpul
useradd --system simpul-hub
mkdir -p /opt/python /opt/simpul/source /opt/simpul/site /opt/simpul/current/bin /etc/simpul
mount -o bind {sys.base_prefix} /opt/python
mount -o bind {ROOT} /opt/simpul/source
mount -o bind {Path(pytest.__file__).parents[1]} /opt/simpul/site
for part in node hub; do
    file=/opt/simpul/current/bin/simpul-$part
    echo '#!/bin/sh' > $file
    echo 'export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/opt/simpul/source:/opt/simpul/site' >> $file
    echo 'export LD_LIBRARY_PATH=/opt/python/lib' >> $file
    echo 'exec /opt/python/bin/{_PYTHON} -m' $part '"$@"' >> $file
    chmod 755 $file
done
cp {ROOT}/node/units/*.service {ROOT}/node/units/*.target {ROOT}/hub/units/*.service \\
    /etc/systemd/system/
mkdir -p /etc/udev/rules.d
cp {ROOT}/node/units/*.rules /etc/udev/rules.d/
cp /run/guest/guest.service /etc/systemd/system/
"""
SERVICE = """[Unit]
After=basic.target
Requires=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh /run/guest/command
StandardOutput=file:/run/guest/output
StandardError=inherit
Environment=HOME=/root
TimeoutStartSec=infinity
"""


def pytest_command(*words: str, cache: str = "/tmp/pytest") -> str:  # noqa: S108 - in the guest
    """Word the guest's command: run pytest on `words`, write its status, switch off."""
    return f"""
cd {ROOT}
PYTHONDONTWRITEBYTECODE=1 {sys.executable} -m pytest -p no:cacheprovider -q -s \\
    --junitxml=/run/guest/junit.xml --basetemp={cache} {" ".join(words)}
echo $? > /run/guest/status
sync
systemctl reboot -ff
"""
