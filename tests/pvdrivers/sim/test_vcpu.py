"""vcpus as Python sees them."""

import errno

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Machine, MachineError
from pvdrivers.sim.vcpu import MAX_VCPUS


def test_a_domain_has_up_to_128_vcpus() -> None:
    with Machine() as machine:
        domain = machine.create_domain(memory="1M", vcpus=MAX_VCPUS)
        assert domain.info.vcpus == 128
        for wrong in (0, 129):
            with pytest.raises(UsageError, match=f"1 to 128 vcpus, not {wrong}"):
                machine.create_domain(memory="1M", vcpus=wrong)
        with pytest.raises(UsageError, match="vcpu 128"):
            domain.vcpu(128)


def test_a_vcpu_registers_its_info_once() -> None:
    with Machine() as machine:
        domain = machine.create_domain(memory="1M", vcpus=64)
        vcpu = domain.vcpu(63)
        assert repr(vcpu) == "<Vcpu 63 of domain 0>"
        with pytest.raises(MachineError, match="vcpu_info at gfn 20") as refused:
            vcpu.register_info(20, 4096 - 32)
        assert refused.value.errno == errno.ENXIO
        vcpu.register_info(20, 4096 - 64)
        with pytest.raises(MachineError) as refused:
            vcpu.register_info(20)
        assert refused.value.errno == errno.EINVAL


def test_a_vcpu_that_is_not_there_has_no_info() -> None:
    with Machine() as machine:
        vcpu = machine.create_domain(memory="1M").vcpu(1)
        with pytest.raises(MachineError) as refused:
            vcpu.register_info(20)
        assert refused.value.errno == errno.ENOENT
