"""The device classes that the daemon serves."""

from pvdrivers.tools.pvbackd.served_class import ServedClass
from pvdrivers.tools.pvbackd.vbd import VBD
from pvdrivers.tools.pvbackd.vif import VIF

CLASSES: tuple[ServedClass, ...] = (VBD, VIF)
