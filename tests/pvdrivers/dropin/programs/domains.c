/*
 * domains GUEST: what the toolstack's libraries see of a machine with dom0 and one guest, whose
 * frames 3 and 4 hold a word each; and what is left of it once the handles are restricted.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenctrl.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xentoolcore.h>

static void need(int condition, const char *what)
{
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static const char *outcome(int worked)
{
    return worked ? "yes" : strerrorname_np(errno);
}

static void list_domains(xc_interface *control)
{
    xc_dominfo_t info[8];
    int count = xc_domain_getinfo(control, 0, 8, info);
    need(count >= 0, "xc_domain_getinfo");
    for (int i = 0; i < count; i++)
        printf("domain %u: %lu pages, %u vcpus, running %d, paused %d\n", info[i].domid,
               info[i].nr_pages, info[i].nr_online_vcpus, info[i].running, info[i].paused);
}

static void read_frames(xenforeignmemory_handle *memory, uint32_t guest)
{
    xen_pfn_t frames[3] = {4, 3, 1 << 20};
    int errors[3];
    char *pages = xenforeignmemory_map(memory, guest, PROT_READ, 2, frames, NULL);
    need(pages != NULL, "xenforeignmemory_map");
    printf("%s %s\n", pages, pages + 4096);
    need(!xenforeignmemory_unmap(memory, pages, 2), "xenforeignmemory_unmap");
    printf("%s", outcome(xenforeignmemory_map(memory, guest, PROT_READ, 3, frames, NULL) != NULL));
    pages = xenforeignmemory_map(memory, guest, PROT_READ, 3, frames, errors);
    need(pages != NULL, "xenforeignmemory_map");
    printf(" %d %d %s %s\n", errors[0], errors[1], strerrorname_np(-errors[2]), pages);
}

int main(int argc, char **argv)
{
    need(argc == 2, "arguments");
    uint32_t guest = atoi(argv[1]);
    xc_interface *control = xc_interface_open(NULL, NULL, 0);
    xenforeignmemory_handle *memory = xenforeignmemory_open(NULL, 0);
    xendevicemodel_handle *model = xendevicemodel_open(NULL, 0);
    xenevtchn_handle *events = xenevtchn_open(NULL, 0);
    need(control && memory && model && events, "opening");
    printf("Xen %x\n", xc_version(control, XENVER_version, NULL));
    list_domains(control);
    need(!xc_domain_pause(control, guest), "xc_domain_pause");
    list_domains(control);
    read_frames(memory, guest);
    ioservid_t server;
    printf("%s\n", outcome(!xendevicemodel_create_ioreq_server(model, guest, 0, &server)));

    xen_pfn_t frame = 3;
    need(!xentoolcore_restrict_all(guest), "xentoolcore_restrict_all");
    printf("%s ", outcome(xenforeignmemory_map(memory, guest, PROT_READ, 1, &frame, NULL) != NULL));
    printf("%s ", outcome(xenforeignmemory_map(memory, 0, PROT_READ, 1, &frame, NULL) != NULL));
    printf("%s ", outcome(xenevtchn_bind_unbound_port(events, guest) > 0));
    printf("%s ", outcome(xenevtchn_bind_unbound_port(events, 0) > 0));
    printf("%s\n", outcome(!xc_domain_unpause(control, guest)));
    return 0;
}
