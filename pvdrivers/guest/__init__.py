"""A guest in a process of its own: what stands for its kernel, and the programs that it runs.

Modules:
    kernel      frontends on all devices of a domain, and what its toolstack asks of it
    boot        from the command line in a domain's memory to a program that runs
    programs    those that come with the package
    launcher    the process that guests are forked from
    launching   its client, in the process that has the machine
"""

from pvdrivers.guest.kernel import Kernel, Program

__all__ = ["Kernel", "Program"]
