/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that implement a disc share with each other and with nobody else. */
#ifndef RECORDER_MEDIUM_INTERNAL_H
#define RECORDER_MEDIUM_INTERNAL_H

#include "medium.h"

static inline u32 round_up_to_ecc_block(u32 sectors)
{
	return (sectors + ECC_BLOCK_SECTORS - 1) / ECC_BLOCK_SECTORS * ECC_BLOCK_SECTORS;
}

static inline u32 track_end(const struct track *track)
{
	return track->start + track->size;
}

/* DVD+R takes no notice of the write parameters page. */
static inline bool has_write_types(const struct medium *medium)
{
	return medium->type->sequential && medium->type != medium_type(MEDIUM_DVD_PLUS_R);
}

void medium_add_empty_track(struct medium *medium, u16 session, u32 start);
void medium_reset_tracks(struct medium *medium);

#endif
