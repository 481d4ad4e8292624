"""The keys of a configuration file, and what is said of those that have no effect.

xl says nothing of a key that it does not know, and goes on; so it is taken here too, but told.
"""

import difflib
from collections.abc import Iterator

from pvdrivers.toolstack.xl_config.settings import Settings
from pvdrivers.toolstack.xl_config.text import Note

HINTS = 50  # of one file: each takes its time
# What reader.py reads. xl does not know vscsi, which xend did.
USED = frozenset(
    """
    builder cap cmdline cpu_weight cpus cpus_soft disk driver_domain extra init_seclabel kernel
    max_event_channels max_grant_frames max_grant_version max_maptrack_frames maxmem maxvcpus
    memory name on_crash on_poweroff on_reboot on_soft_reset on_watchdog pool ramdisk root
    seclabel serial type uuid vcpus vif vscsi
    """.split()
)

# What xl of Xen 4.17 or later reads beside them: devices and properties that no simulated host has.
UNUSED = frozenset(
    """
    acpi acpi_firmware acpi_laptop_slate acpi_s3 acpi_s4 altp2m altp2m_count altp2mhvm apic
    arm_sci bios bios_path_override boot bootloader bootloader_args bootloader_restrict
    bootloader_user channel cpuid device_model device_model_args device_model_args_hvm
    device_model_args_pv device_model_override device_model_stubdomain_override
    device_model_stubdomain_seclabel device_model_user device_model_version device_tree display
    dm_restrict dtdev e820_host extratime firmware firmware_override gfx_passthru gic_version
    hap hdtype hpet hvm_pirq iomem ioports irqs keymap latency llc_colors localtime mca_caps
    mmio_hole ms_vm_genid msr_relaxed nestedhvm nographic nomigrate nr_spis nx oos opengl p9 pae
    passthrough pci pci_msitranslate pci_permissive pci_power_mgmt pci_seize period pvcalls
    pvshim pvshim_cmdline pvshim_extra pvshim_path rdm rdm_mem_boundary rtc_timeoffset sdl
    shadow_memory slice smbios smbios_firmware soundhw spice spice_clipboard_sharing
    spice_image_compression spice_streaming_video spiceagent_mouse spicedisable_ticketing
    spicehost spicepasswd spiceport spicetls_port spiceusbredirection spicevdagent stdvga
    stubdomain_cmdline stubdomain_kernel stubdomain_memory stubdomain_ramdisk sve tee timer_mode
    trap_unmapped_accesses tsc_mode usb usbctrl usbdev usbdevice usbversion vdispl vendor_device
    vfb vga videoram vif2 viridian virtio vkb vkb_device vmtrace_buf_kb vnc vncdisplay vnclisten
    vncpasswd vncunused vncviewer vnuma vpmu vpt_align vsnd vtpm vuart xauthority
    xen_platform_pci xen_platform_pci_bar_uc xend_suspend_evtchn_compat xenstore_feature_mask
    xenstore_quota
    """.split()
)


def unused(settings: Settings) -> Iterator[Note]:
    """A note for each key that has no effect."""
    for key in settings.all.keys() & UNUSED:
        yield Note(settings.place(key), f"{key} is not used here")
    unknown = settings.all.keys() - USED - UNUSED
    for number, key in enumerate(sorted(unknown)):
        hint = _hint(key) if number < HINTS else ""
        message = f"{key[:40]} is no key that xl knows, and has no effect{hint}"
        yield Note(settings.place(key), message)


def _hint(key: str) -> str:
    close = difflib.get_close_matches(key[:40], USED | UNUSED, n=1)
    return f": did you mean {close[0]}?" if close else ""
