/* The hypercalls that only ia64 guests have. */
#include "pvdrivers/sim/ia64.h"
#include "pvdrivers/sim/hypercalls/internal.h"

long do_ia64_dom0vp_op(const struct hypercall *call)
{
    return pv_ia64_dom0vp_op(call->machine, call->caller, call->args[0], &call->args[1]);
}

long do_ia64_debug_op(const struct hypercall *call)
{
    return pv_ia64_debug_op(call->machine, call->caller, call->args[0], call->args[1],
                            call->args[2]);
}
