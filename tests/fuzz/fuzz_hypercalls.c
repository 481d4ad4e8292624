/* Any hypercall of any domain with any arguments. Input: steps, each of which takes what it needs;
 * see any_hypercall.h. */
#include "tests/pvdrivers/sim/hypercalls/c/any_hypercall.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    any_hypercalls(data, size);
    return 0;
}
