/* What a guest tells its backend once and does not tell a successor again: its hash and its
 * multicast filter. Each change is also made in memory that outlives the process, before the guest
 * gets its answer. A request that was not answered when its backend was killed is carried out
 * again, and then changes nothing more. */
#include "backends/vnif/netback_private.h"

#define MAGIC 0x31735650u /* "PVs1": another layout needs another one */

int netback_saved_check(const struct netback_saved *saved)
{
    bool valid = saved->magic == 0 || (saved->magic == MAGIC && netback_hash_valid(&saved->hash));
    return valid ? 0 : -ESTALE;
}

void netback_saved_attach(struct pv_netback_vif *vif, struct netback_saved *saved)
{
    struct netback_settings *settings = netback_settings_change(vif);
    if (saved->magic) {
        settings->hash = saved->hash;
        settings->multicast = saved->multicast;
    } else {
        saved->hash = settings->hash;
        saved->multicast = settings->multicast;
        /* Release: with a magic number it is whole. */
        pv_store_release(&saved->magic, MAGIC);
    }
    vif->saved = saved;
    netback_settings_changed(vif);
}

void netback_saved_detach(struct pv_netback_vif *vif)
{
    netback_settings_change(vif);
    vif->saved = NULL;
    netback_settings_changed(vif);
}

void netback_save_hash(struct pv_netback_vif *vif, const struct netback_hash *hash)
{
    netback_settings_change(vif)->hash = *hash;
    if (vif->saved)
        vif->saved->hash = *hash;
    netback_settings_changed(vif);
}

static bool change_filter(struct netback_multicast *multicast, const uint8_t *address, bool add)
{
    if (add)
        return netback_multicast_add(multicast, address);
    netback_multicast_del(multicast, address);
    return true;
}

bool netback_save_multicast(struct pv_netback_vif *vif, const uint8_t *address, bool add)
{
    bool done = change_filter(&netback_settings_change(vif)->multicast, address, add);
    if (vif->saved)
        change_filter(&vif->saved->multicast, address, add);
    netback_settings_changed(vif);
    return done;
}
