#ifndef BENCHMARKS_INSTRUCTIONS_COMMANDS_H
#define BENCHMARKS_INSTRUCTIONS_COMMANDS_H

/* SCSI commands instead of a block device's requests: pumps commands tur|read|write|emulated BYTES
 * DEPTH ROUNDS. READ and WRITE go to a ram store, their data lie in granted pages; emulated is what
 * a unit's creator is asked for, whose own work is left out. */
int count_commands(char **argv);

#endif
