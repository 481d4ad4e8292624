"""The device classes that the daemon serves."""

from pvdrivers.tools.pvbackd.served_class import ServedClass
from pvdrivers.tools.pvbackd.vbd import VBD
from pvdrivers.tools.pvbackd.vif import VIF
from pvdrivers.tools.pvbackd.vscsi import VSCSI

CLASSES: tuple[ServedClass, ...] = (VBD, VIF, VSCSI)
