/* The lists of members that are awake, and of those that sleep with a time set. A member knows its
 * place in each, so adding and removing needs no search. */
#include "pvdrivers/poll/group_private.h"

#include <stdlib.h>

static bool grow(struct member_list *list, uint32_t capacity)
{
    void *members = realloc(list->members, capacity * sizeof list->members[0]);
    if (members)
        list->members = members;
    return members;
}

/* Room for one member more in each. */
int poll_lists_reserve(struct pv_poll_group *group)
{
    if (group->count < group->capacity)
        return 0;
    uint32_t capacity = group->capacity ? 2 * group->capacity : 16;
    if (!grow(&group->awake, capacity) || !grow(&group->timed, capacity))
        return -ENOMEM;
    group->capacity = capacity;
    return 0;
}

static void clear_timer(struct pv_poll_group *group, struct pv_poll_member *member)
{
    if (!member->timed)
        return;
    struct pv_poll_member *last = group->timed.members[--group->timed.count];
    group->timed.members[member->timed_place] = last;
    last->timed_place = member->timed_place;
    member->timed = false;
}

void poll_member_set_timer(struct pv_poll_group *group, struct pv_poll_member *member)
{
    uint64_t time = member->unmask_at < member->wake_at ? member->unmask_at : member->wake_at;
    clear_timer(group, member);
    if (time == NEVER)
        return;
    if (time < group->next_time)
        group->next_time = time;
    member->timed = true;
    member->timed_place = group->timed.count;
    group->timed.members[group->timed.count++] = member;
}

void poll_member_wake(struct pv_poll_group *group, struct pv_poll_member *member)
{
    if (member->awake)
        return;
    clear_timer(group, member);
    member->awake = true;
    member->place = group->awake.count;
    group->awake.members[group->awake.count++] = member;
}

void poll_member_sleep(struct pv_poll_group *group, struct pv_poll_member *member)
{
    if (!member->awake)
        return;
    struct pv_poll_member *last = group->awake.members[--group->awake.count];
    group->awake.members[member->place] = last;
    last->place = member->place;
    member->awake = false;
    poll_member_set_timer(group, member);
}
