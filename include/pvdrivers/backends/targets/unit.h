/*
 * A logical unit as the queues of its initiators see it. Commands that its creator carries out, in
 * another language or thread, wait here; READ and WRITE may go straight to its store instead, as
 * long as the creator permits it to the nexus (I_T_L nexus: one initiator's path to the unit).
 *
 * The permission is a word of each nexus. A queue counts a direct command in and only then reads
 * the word; the creator clears the words and only then looks at the counts. So there is no moment
 * at which a command that needs the unit for itself meets a direct one.
 */
#ifndef PVDRIVERS_BACKENDS_TARGETS_UNIT_H
#define PVDRIVERS_BACKENDS_TARGETS_UNIT_H

#include "pvdrivers/backends/stores/store.h"

/* cffi: begin */
struct pv_scsi_unit;
struct pv_scsi_nexus;

#define PV_SCSI_MAX_CDB 16
#define PV_SCSI_MAX_SENSE 96
#define PV_SCSI_IDENTITY 16 /* bytes */

/* What a queue asks of the unit. The queue owns it and keeps it alive until it is complete. */
struct pv_scsi_command {
    struct pv_scsi_nexus *nexus;
    bool reset; /* LOGICAL UNIT RESET; the CDB and the data mean nothing */
    uint8_t cdb_length;
    uint8_t cdb[PV_SCSI_MAX_CDB];
    uint8_t identity[PV_SCSI_IDENTITY]; /* the same when a successor begins it again */
    uint8_t *data;                      /* private memory; max(data_out, room) bytes */
    uint32_t data_out;                  /* bytes in it that came from the initiator */
    uint32_t room;                      /* bytes that the initiator has room for */
    uint32_t aborted; /* in the meantime: 1 once the initiator no longer wants it */
    /* Filled in by pv_scsi_command_answer: */
    int32_t result;    /* the word `rslt` */
    uint32_t data_in;  /* bytes in `data` for the initiator */
    uint32_t residual; /* bytes asked for and not transferred */
    uint8_t sense_length;
    uint8_t sense[PV_SCSI_MAX_SENSE];
    /* Called exactly once, from any thread. `more`: another of its nexus follows at once, for which
     * alone the queue has to be woken. */
    void (*complete)(struct pv_scsi_command *command, bool more);
    struct pv_scsi_command *next; /* for the use of the code that has the command now */
};

/* Whoever made the unit calls all of these from one thread at a time, where nothing else is said.
 */

/* `store`, which must outlive the unit, is what direct commands go to; NULL: there are none. NULL
 * with errno set on failure. */
PV_API struct pv_scsi_unit *pv_scsi_unit_create(struct pv_blk_store *store);
/* -EBUSY while it has a nexus. */
PV_API int pv_scsi_unit_destroy(struct pv_scsi_unit *unit);
/* Readable when there is something to take, to abort, or a direct command was the last. */
PV_API int pv_scsi_unit_fd(const struct pv_scsi_unit *unit);
/* Makes it readable, from any thread. */
PV_API void pv_scsi_unit_wake(struct pv_scsi_unit *unit);

/* NULL: no memory. `number` is the caller's name for it. Nothing is permitted at first. */
PV_API struct pv_scsi_nexus *pv_scsi_unit_attach(struct pv_scsi_unit *unit, uint32_t number);
/* -EBUSY while a queue knows it. */
PV_API int pv_scsi_nexus_detach(struct pv_scsi_nexus *nexus);
/* Whether a queue knows it. From any thread. */
PV_API bool pv_scsi_nexus_is_used(const struct pv_scsi_nexus *nexus);
PV_API uint32_t pv_scsi_nexus_number(const struct pv_scsi_nexus *nexus);
/* What READ, and WRITE and SYNCHRONIZE CACHE, of this nexus may do without asking. */
PV_API void pv_scsi_nexus_permit(struct pv_scsi_nexus *nexus, bool read, bool write);

/* Takes every permission away, and asks to be woken when no direct command is under way. True: none
 * is. */
PV_API bool pv_scsi_unit_exclude_direct(struct pv_scsi_unit *unit);

/* Takes at most `max` commands in the order they came, and waits for the next wake-up. */
PV_API unsigned pv_scsi_unit_take(struct pv_scsi_unit *unit, struct pv_scsi_command **commands,
                                  unsigned max);
PV_API bool pv_scsi_command_is_aborted(const struct pv_scsi_command *command);
/* What one that was taken ends with; then it is to be completed. Copies as much of `data` as there
 * is room for, and of `sense` as fits. `unused`: bytes of data_out that were not wanted. From any
 * thread, as the others. */
PV_API void pv_scsi_command_answer(struct pv_scsi_command *command, int32_t result,
                                   const uint8_t *data, uint32_t data_size, const uint8_t *sense,
                                   uint32_t sense_size, uint32_t unused);
/* Of those that are answered. A queue is woken once for those of a nexus that follow each other. */
PV_API void pv_scsi_commands_complete(struct pv_scsi_command **commands, unsigned count);
/* cffi: end */

#include "pvdrivers/ring/barrier.h"

/* Of a nexus' permission word. */
#define PV_SCSI_DIRECT_READ 1u
#define PV_SCSI_DIRECT_WRITE 2u

struct pv_scsi_nexus {
    struct pv_scsi_unit *unit;
    struct pv_blk_store *store; /* the unit's */
    uint32_t number;
    uint32_t permission; /* PV_SCSI_DIRECT_*; the unit's creator writes it */
    uint32_t under_way;  /* direct commands; its queue alone writes it */
    uint32_t users;      /* LUN tables that name it */
    struct pv_scsi_nexus *next;
};

/* Submitted by the nexus' queue. */
void pv_scsi_unit_submit(struct pv_scsi_command *command);
/* Of one that was submitted and is not complete: the creator is told that it is not wanted. */
void pv_scsi_unit_abort(struct pv_scsi_command *command);
void pv_scsi_unit_direct_ended(struct pv_scsi_unit *unit);

/* Counts a direct command out. */
static inline void pv_scsi_direct_end(struct pv_scsi_nexus *nexus)
{
    uint32_t left = nexus->under_way - 1;
    /* Release: what the command did to the store comes before whatever waits for its end. */
    pv_store_release(&nexus->under_way, left);
    if (left == 0)
        pv_scsi_unit_direct_ended(nexus->unit);
}

/* Counts a direct command in, if all of `needed` is permitted. 0 is always, and keeps the nexus
 * counted in while others come and go, which then need no full barrier. */
static inline bool pv_scsi_direct_begin(struct pv_scsi_nexus *nexus, uint32_t needed)
{
    uint32_t before = nexus->under_way;
    pv_write_once(&nexus->under_way, before + 1);
    /* Full: the count is visible before the word is read. The creator does the mirror image (word,
     * full barrier, count), so that one of the two sees the other. Behind another command the count
     * has been visible since that one began. */
    if (before == 0)
        pv_mb();
    /* Acquire: what was done while the word was clear is visible behind it. */
    if ((pv_load_acquire(&nexus->permission) & needed) == needed)
        return true;
    pv_scsi_direct_end(nexus);
    return false;
}

#endif
