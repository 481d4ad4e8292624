/* Answered commands go to their queues, each of which is woken once for those that follow each
 * other. */
#include "pvdrivers/backends/targets/unit.h"

#include <assert.h>
#include <stddef.h>

static struct pv_scsi_nexus nexuses[2];
static unsigned ended, woken[2];

static void complete(struct pv_scsi_command *command, bool more)
{
    assert(command->result == 2 && command->residual == 0);
    ended++;
    woken[command->nexus - nexuses] += !more;
    command->nexus = NULL; /* the queue may use it again */
}

int main(void)
{
    static const unsigned owners[] = {0, 0, 1, 0, 0, 0};
    struct pv_scsi_command commands[6], *order[6];
    for (unsigned i = 0; i < 6; i++) {
        commands[i] = (struct pv_scsi_command){.nexus = &nexuses[owners[i]], .complete = complete};
        order[i] = &commands[i];
        pv_scsi_command_answer(order[i], 2, NULL, 0, NULL, 0, 0);
    }
    assert(ended == 0);
    pv_scsi_commands_complete(order, 6);
    assert(ended == 6 && woken[0] == 2 && woken[1] == 1);
    commands[0].nexus = &nexuses[1];
    pv_scsi_commands_complete(order, 1);
    assert(ended == 7 && woken[1] == 2);
    return 0;
}
