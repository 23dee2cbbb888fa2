/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tray: PREVENT and ALLOW MEDIUM REMOVAL, and who wants what
 *
 * While held the module's PREVENT is in force, unless it was told not to. The
 * kernel undoes it now and then on the holder's behalf (the cdrom layer unlocks at
 * the close of a data open); then it is sent again. What the holder itself asks
 * for (an ALLOW of its own) is left alone until it prevents or loads a disc.
 */
#ifndef SRLOCK_DOOR_H
#define SRLOCK_DOOR_H

#include <linux/atomic.h>
#include <linux/types.h>
#include <scsi/scsi_device.h>

struct srlock_drive;

/**
 * enum srlock_command_kind - the commands that the module itself sends
 * @SRLOCK_COMMAND_PREVENT: PREVENT ALLOW MEDIUM REMOVAL, prevent (MMC-6 6.15)
 * @SRLOCK_COMMAND_ALLOW: the same, allow
 * @SRLOCK_COMMAND_TEST: TEST UNIT READY (SPC-4 6.47), to see that one gets through
 */
enum srlock_command_kind {
	SRLOCK_COMMAND_PREVENT,
	SRLOCK_COMMAND_ALLOW,
	SRLOCK_COMMAND_TEST,
};

/**
 * struct srlock_door - what is known of one drive's tray
 * @wanted: the hold wants it locked
 * @prevented: our PREVENT is in force, as far as known
 * @allowed: the holder has allowed removal itself
 * @undone: the kernel has undone our PREVENT, or the holder has loaded a disc
 * @locked_before: it was locked when the hold began
 * @due: a hold, or an acquire, has not ended in an ALLOW yet
 * @unanswered: commands of the module's own that nobody waits for any more
 * @ejecting: calls of a holder's between their ALLOW and the end of their eject; in the
 *	upper half the generation of the passes that they have
 * @restoring: calls that send PREVENT again, or are about to
 *
 * Written by whoever finds out, without a lock: each is a fact of its own, and the
 * drive is asked again where it matters. But @ejecting and @restoring keep PREVENT
 * from coming between an ALLOW and its eject: whoever counts himself looks at the other.
 */
struct srlock_door {
	bool wanted;
	bool prevented;
	bool allowed;
	bool undone;
	bool locked_before;
	bool due;
	atomic_t unanswered;
	atomic64_t ejecting;
	atomic_t restoring;
};

int srlock_door_begin(struct srlock_drive *drive, bool prevent);
int srlock_door_end(struct srlock_drive *drive, bool keep);
void srlock_door_detach(struct srlock_drive *drive);
void srlock_door_note(struct srlock_door *door, const u8 *cdb, bool by_kernel);
void srlock_door_restore(struct srlock_drive *drive, unsigned int generation);
bool srlock_door_eject_begin(struct srlock_drive *drive, unsigned int generation);
void srlock_door_eject_end(struct srlock_drive *drive, unsigned int generation);
bool srlock_door_is_unlocked(const struct srlock_door *door);

#endif /* SRLOCK_DOOR_H */
