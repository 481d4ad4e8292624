/*
 * A machine whose domains make any hypercall with any arguments, as bytes say. Whatever they are:
 * a domain that is not privileged gets nothing of a toolstack's, nothing is written behind an
 * argument's end, and in the end the machine has all that it had.
 */
#ifndef TESTS_ANY_HYPERCALL_H
#define TESTS_ANY_HYPERCALL_H

#include "pvdrivers/ring/abi_ia64.h"
#include "pvdrivers/sim/cpupool.h"
#include "pvdrivers/sim/hypercall.h"
#include "pvdrivers/sim/hypercalls/abi_domctl.h"
#include "pvdrivers/sim/hypercalls/abi_platform.h"
#include "pvdrivers/sim/hypercalls/abi_sysctl.h"
#include "pvdrivers/sim/ia64.h"
#include "pvdrivers/sim/sched.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ANY_MEMORY (8u << 20)
#define ANY_ABSENT_START (16u << 20) /* memory that may be added: numbers that arguments have */
#define ANY_ABSENT_END (256u << 20)
#define ANY_CPUS 3u
#define ANY_DOMAINS 6u /* 0 and 1 are privileged, the last one is not there at first */
#define ANY_MAX_STEPS 400
#define FILLED_WORDS 24
#define ARGUMENT_WORDS 160 /* the largest argument is 1 KiB */
#define CANARY 0xA5

struct any_input {
    const uint8_t *data;
    size_t left;
};

/* 0 behind the input's end. */
static inline uint8_t any_byte(struct any_input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->data++;
}

/* A number as arguments have them: mostly a small one. */
static inline uint32_t any_number(struct any_input *input)
{
    static const uint32_t odd[] = {UINT32_MAX, DOMID_SELF, DOMID_INVALID, 1u << 30,
                                   1u << 16,   4096,       UINT16_MAX,    10000};
    uint8_t byte = any_byte(input);
    return byte < 0xA0 ? byte % 8 : byte < 0xE0 ? byte % 48 : odd[byte % 8];
}

/* Memory of the caller's: two pages, and nothing behind them. */
static inline uint8_t *caller_memory(void)
{
    static uint8_t *memory;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!memory) {
        memory = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert(memory != MAP_FAILED && mprotect(memory + 2 * page, page, PROT_NONE) == 0);
    }
    return memory;
}

/* ---- A hypercall ----------------------------------------------------------------------------- */

static inline uint32_t any_op(struct any_input *input)
{
    static const uint32_t ops[] = {__HYPERVISOR_sysctl,           __HYPERVISOR_domctl,
                                   __HYPERVISOR_xen_version,      __HYPERVISOR_sched_op,
                                   __HYPERVISOR_event_channel_op, __HYPERVISOR_grant_table_op,
                                   __HYPERVISOR_vcpu_op,          __HYPERVISOR_memory_op,
                                   __HYPERVISOR_platform_op,      __HYPERVISOR_multicall};
    static const uint32_t ia64s[] = {__HYPERVISOR_arch_0, __HYPERVISOR_arch_2};
    uint8_t byte = any_byte(input);
    return byte < 0xD0   ? ops[byte % (sizeof ops / sizeof *ops)]
           : byte < 0xF0 ? ia64s[byte % 8 == 0]
                         : any_number(input);
}

static inline bool is_ia64s(uint32_t op)
{
    return op == __HYPERVISOR_arch_0 || op == __HYPERVISOR_arch_2;
}

/* As ia64 guests pass them: pages, addresses with and without xencomm's flag, sizes of tables. */
static inline uint64_t any_guest_word(struct any_input *input)
{
    uint8_t kind = any_byte(input);
    uint64_t number = any_number(input);
    const uint64_t words[] = {number,
                              number,
                              XENCOMM_INLINE_FLAG | number << 10,
                              number << 14,
                              PV_IA64_SHARED_INFO_GFN + number,
                              (0x200 + number) << 11,
                              number % 3 << 25,
                              2048};
    return words[kind % (sizeof words / sizeof *words)];
}

static inline uint32_t any_cmd(struct any_input *input)
{
    uint8_t byte = any_byte(input);
    return byte < 0xA0 ? byte % 26 : byte < 0xF0 ? 26u + byte % 64u : any_number(input);
}

/* Privileged ones often; one that is not there sometimes. */
static inline domid_t any_caller(struct any_input *input)
{
    uint8_t byte = any_byte(input);
    return byte < 0x80 ? byte % 2 : byte % (ANY_DOMAINS + 1);
}

static inline bool is_toolstacks(uint32_t op)
{
    return op == __HYPERVISOR_sysctl || op == __HYPERVISOR_domctl || op == __HYPERVISOR_platform_op;
}

static inline uint64_t interface_version(uint32_t op)
{
    return op == __HYPERVISOR_platform_op ? XENPF_INTERFACE_VERSION : XEN_SYSCTL_INTERFACE_VERSION;
}

/* Taken for an address, no number with it is one where this process, its sanitizer included, has
 * something. */
static inline uint32_t any_high_half(struct any_input *input)
{
    uint8_t byte = any_byte(input);
    return byte < 0xA0 ? byte % 8 : byte < 0xE0 ? byte % 48 : UINT32_MAX;
}

/* Numbers, and where the input says so, addresses of the caller's memory. */
static inline void fill_argument(struct any_input *input, uint64_t *words)
{
    uint32_t pointers = any_byte(input) | (uint32_t)any_byte(input) << 8;
    for (unsigned i = 0; i < FILLED_WORDS; i++) {
        words[i] = any_number(input);
        words[i] |= (uint64_t)any_high_half(input) << 32;
        if (pointers >> i & 1)
            words[i] = (uintptr_t)caller_memory() + words[i] % 8192;
    }
}

/* Few that come by chance could be made. */
static inline void fill_createdomain(struct any_input *input, struct xen_domctl *domctl)
{
    domctl->domain = (domid_t)any_number(input);
    domctl->u.createdomain = (struct xen_domctl_createdomain){.max_vcpus = any_byte(input) % 5u,
                                                              .max_evtchn_port = any_number(input),
                                                              .max_grant_frames = -1,
                                                              .max_maptrack_frames = -1,
                                                              .grant_opts = any_byte(input) % 3u,
                                                              .cpupool_id = any_byte(input) % 2u};
}

static inline void check_result(struct pv_machine *machine, domid_t caller, uint32_t op,
                                bool version_known, int64_t result)
{
    struct pv_domain_info info;
    assert(result > -4096 && (op != __HYPERVISOR_event_channel_op || result <= 0));
    if (is_ia64s(op) && pv_domain_info(machine, caller, &info) == 0 && info.abi != PV_ABI_IA64)
        assert(result == -ENOSYS || result == -ESRCH);
    if (!is_toolstacks(op))
        return;
    if (pv_domain_info(machine, caller, &info))
        assert(result == -ESRCH || result == -EACCES);
    else if (!version_known)
        assert(result == -EACCES);
    else if (!info.privileged)
        assert(result == -EPERM);
}

/* By itself, or as the only one of a multicall. */
static inline int64_t make_call(struct pv_machine *machine, domid_t caller, uint32_t op,
                                const uint64_t *args, bool in_multicall)
{
    struct multicall_entry entry = {.op = op};
    const uint64_t list[PV_HYPERCALL_ARGS] = {(uintptr_t)&entry, 1};
    if (!in_multicall)
        return pv_hypercall(machine, caller, op, args);
    memcpy(entry.args, args, PV_HYPERCALL_ARGS * sizeof *args);
    int64_t error = pv_hypercall(machine, caller, __HYPERVISOR_multicall, list);
    return error ? error : (int64_t)entry.result;
}

static inline void make_hypercall(struct pv_machine *machine, struct any_input *input)
{
    uint64_t argument[ARGUMENT_WORDS], args[PV_HYPERCALL_ARGS] = {0};
    domid_t caller = any_caller(input);
    uint32_t op = any_op(input);
    bool in_multicall = op == __HYPERVISOR_multicall;
    if (in_multicall)
        op = any_op(input);
    uint32_t cmd = any_cmd(input);
    bool version_known = any_byte(input) % 16;
    memset(argument, CANARY, sizeof argument);
    fill_argument(input, argument);
    if (is_toolstacks(op)) {
        argument[0] = cmd | (version_known ? interface_version(op) : 0x14) << 32;
        args[0] = (uintptr_t)argument;
        if (op == __HYPERVISOR_domctl && cmd == XEN_DOMCTL_createdomain && any_byte(input) % 4)
            fill_createdomain(input, (struct xen_domctl *)argument);
    } else if (is_ia64s(op)) {
        args[0] = cmd;
        for (unsigned i = 1; i < PV_HYPERCALL_ARGS; i++)
            args[i] = any_guest_word(input);
    } else if (op == __HYPERVISOR_vcpu_op) {
        args[0] = cmd;
        args[1] = any_number(input);
        args[2] = any_byte(input) % 8 ? (uintptr_t)argument : argument[1];
    } else {
        args[0] = cmd;
        args[1] = any_byte(input) % 8 ? (uintptr_t)argument : argument[1];
        args[2] = any_byte(input) % 4 ? 1 : any_number(input);
    }
    int64_t result = make_call(machine, caller, op, args, in_multicall);
    check_result(machine, caller, op, version_known, result);
    if (is_toolstacks(op)) /* its structures are 144 bytes at most */
        for (unsigned i = FILLED_WORDS; i < ARGUMENT_WORDS; i++)
            assert(argument[i] == 0x0101010101010101ull * CANARY);
}

/* ---- The machine ----------------------------------------------------------------------------- */

static inline void make_domain(struct pv_machine *machine, domid_t domid)
{
    struct pv_domain_config config = {.abi = domid == 1 || domid == 3 ? PV_ABI_IA64 : PV_ABI_X86_64,
                                      .memory = 256u << 10,
                                      .vcpus = 1u + domid % 3u,
                                      .privileged = domid < 2};
    int result = pv_domain_create(machine, domid, &config);
    assert(result == domid || result == -EEXIST || result == -ENOMEM || result == -ENODEV);
}

static inline struct pv_machine *make_machine(void)
{
    const struct pv_memory_extent extents[] = {
        {.size = ANY_MEMORY},
        {.start = ANY_ABSENT_START, .size = ANY_ABSENT_END - ANY_ABSENT_START, .absent = true}};
    struct pv_machine_config config = {.extents = extents,
                                       .extent_count = 2,
                                       .max_domains = ANY_DOMAINS,
                                       .max_domain_memory = 1u << 20,
                                       .virtual_time = true,
                                       .cpus = ANY_CPUS};
    struct pv_machine *machine;
    assert(pv_machine_create(&config, &machine) == 0);
    for (domid_t domid = 0; domid < ANY_DOMAINS - 1; domid++) {
        make_domain(machine, domid);
        assert(pv_domain_unpause(machine, domid) == 0);
    }
    return machine;
}

/* What else goes on: vcpus run, and domains are made again. */
static inline void go_on(struct pv_machine *machine, struct any_input *input)
{
    struct pv_sched_done done[8];
    domid_t domid = (domid_t)(any_byte(input) % ANY_DOMAINS);
    pv_vcpu_demand(machine, domid, any_byte(input) % 3u, 1000u * any_number(input));
    assert(pv_sched_run(machine, pv_machine_now(machine) + 1000000u, done, 8) >= 0);
    if (any_byte(input) % 2)
        make_domain(machine, domid);
    if (any_byte(input) % 2)
        pv_domain_unpause(machine, domid);
}

/* Every CPU is of one pool, or of none. */
static inline void check_cpus(struct pv_machine *machine)
{
    uint64_t all[PV_SCHED_MAX_CPUS / 64];
    struct pv_cpupool_info info;
    assert(pv_cpupool_get_free(machine, all) == 0);
    uint64_t seen = all[0];
    for (uint32_t pool = 0; pv_cpupool_get_info(machine, pool, &info) == 0; pool = info.pool + 1) {
        assert((seen & info.cpus[0]) == 0);
        seen |= info.cpus[0];
        if (info.pool == UINT32_MAX)
            break;
    }
    assert(seen == (1u << ANY_CPUS) - 1);
}

static inline uint64_t free_or_offlined(struct pv_machine *machine)
{
    struct pv_node_memory node;
    assert(pv_machine_node_memory(machine, 0, &node) == 0);
    return node.free + node.offlined;
}

static inline void check_memory(struct pv_machine *machine)
{
    uint64_t used = 0;
    struct pv_domain_info info;
    for (domid_t domid = 0; domid < ANY_DOMAINS; domid++)
        if (pv_domain_info(machine, domid, &info) == 0)
            used += info.pages * info.page_size;
    assert(used + free_or_offlined(machine) == pv_machine_total_memory(machine));
}

static inline void any_hypercalls(const uint8_t *data, size_t size)
{
    struct any_input input = {data, size};
    struct pv_machine *machine = make_machine();
    for (int step = 0; input.left && step < ANY_MAX_STEPS; step++) {
        if (any_byte(&input) % 8)
            make_hypercall(machine, &input);
        else
            go_on(machine, &input);
    }
    check_cpus(machine);
    check_memory(machine);
    for (domid_t domid = 0; domid < ANY_DOMAINS; domid++)
        pv_domain_destroy(machine, domid);
    assert(free_or_offlined(machine) == pv_machine_total_memory(machine));
    assert(pv_machine_outstanding_claims(machine) == 0);
    pv_machine_close(machine);
}

#endif
