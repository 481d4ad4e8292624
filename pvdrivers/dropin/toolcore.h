/*
 * libxentoolcore's list of open handles, as libxenstore and others of Xen's libraries know it.
 * Each library puts its handles on the list; a program that gives up its privileges calls
 * xentoolcore_restrict_all once, and every handle restricts itself.
 */
#ifndef PVDRIVERS_DROPIN_TOOLCORE_H
#define PVDRIVERS_DROPIN_TOOLCORE_H

#include "pvdrivers/types.h"

typedef struct Xentoolcore__Active_Handle Xentoolcore__Active_Handle;

/* 0, or -1 with errno set. */
typedef int Xentoolcore__Restrict_Callback(Xentoolcore__Active_Handle *handle, domid_t domid);

struct Xentoolcore__Active_Handle {
    Xentoolcore__Restrict_Callback *restrict_callback;
    Xentoolcore__Active_Handle *next, **link; /* link: what points here */
};

void xentoolcore__register_active_handle(Xentoolcore__Active_Handle *handle);
void xentoolcore__deregister_active_handle(Xentoolcore__Active_Handle *handle);
/* Puts /dev/null in the place of a file descriptor; nothing happens when that is negative. */
int xentoolcore__restrict_by_dup2_null(int fd);
int xentoolcore_restrict_all(domid_t domid);

#endif
