// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI does not move: sizes, offsets, numbers and the table of results
 *
 * The expected values are written out on purpose: what a program was compiled with
 * years ago has to be right today.
 */
#include <kunit/test.h>
#include <linux/srlock.h>
#include <linux/string.h>

struct layout_param {
	const char *desc;
	size_t actual;
	size_t expected;
};

#define SIZE(type, value) \
	{ "sizeof(struct " #type ")", sizeof(struct type), value }
#define OFFSET(type, field, value) \
	{ #type "." #field, offsetof(struct type, field), value }
/* Where a field ends, so that its size is fixed as well. */
#define END(type, field, value) \
	{ "end of " #type "." #field, offsetofend(struct type, field), value }

static const struct layout_param layout_params[] = {
	SIZE(srlock_acquire, 96),
	OFFSET(srlock_acquire, client, 0),
	OFFSET(srlock_acquire, flags, 64),
	OFFSET(srlock_acquire, pad, 68),
	OFFSET(srlock_acquire, deadline_ns, 72),
	OFFSET(srlock_acquire, count, 80),
	OFFSET(srlock_acquire, busy_reason, 84),
	OFFSET(srlock_acquire, holder_pid, 88),
	OFFSET(srlock_acquire, pad2, 92),
	END(srlock_acquire, client, 64),
	END(srlock_acquire, deadline_ns, 80),
	END(srlock_acquire, pad2, 96),
	{ "SRLOCK_ACQUIRE_SIZE_VER0", SRLOCK_ACQUIRE_SIZE_VER0, 96 },

	SIZE(srlock_release, 8),
	OFFSET(srlock_release, flags, 0),
	OFFSET(srlock_release, count, 4),
	END(srlock_release, count, 8),
	{ "SRLOCK_RELEASE_SIZE_VER0", SRLOCK_RELEASE_SIZE_VER0, 8 },

	SIZE(srlock_info, 144),
	OFFSET(srlock_info, features, 0),
	OFFSET(srlock_info, flags, 8),
	OFFSET(srlock_info, state, 12),
	OFFSET(srlock_info, count, 16),
	OFFSET(srlock_info, my_count, 20),
	OFFSET(srlock_info, pid, 24),
	OFFSET(srlock_info, uid, 28),
	OFFSET(srlock_info, waiters, 32),
	OFFSET(srlock_info, prior_opens, 36),
	OFFSET(srlock_info, since_ns, 40),
	OFFSET(srlock_info, refused_opens, 48),
	OFFSET(srlock_info, refused_ioctls, 56),
	OFFSET(srlock_info, refused_commands, 64),
	OFFSET(srlock_info, status, 72),
	OFFSET(srlock_info, pad, 76),
	OFFSET(srlock_info, client, 80),
	END(srlock_info, features, 8),
	END(srlock_info, since_ns, 48),
	END(srlock_info, refused_commands, 72),
	END(srlock_info, client, 144),
	{ "SRLOCK_INFO_SIZE_VER0", SRLOCK_INFO_SIZE_VER0, 144 },

	SIZE(srlock_event, 104),
	OFFSET(srlock_event, time_ns, 0),
	OFFSET(srlock_event, type, 8),
	OFFSET(srlock_event, repeats, 12),
	OFFSET(srlock_event, lost, 16),
	OFFSET(srlock_event, flags, 20),
	OFFSET(srlock_event, pid, 24),
	OFFSET(srlock_event, uid, 28),
	OFFSET(srlock_event, way, 32),
	OFFSET(srlock_event, code, 36),
	OFFSET(srlock_event, name, 40),
	END(srlock_event, time_ns, 8),
	END(srlock_event, code, 40),
	END(srlock_event, name, 104),
	{ "SRLOCK_EVENT_SIZE_VER0", SRLOCK_EVENT_SIZE_VER0, 104 },
};

static void layout_get_desc(const struct layout_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(layout, layout_params, layout_get_desc);

static void layout_does_not_move(struct kunit *test)
{
	const struct layout_param *param = test->param_value;

	KUNIT_EXPECT_EQ(test, param->actual, param->expected);
}

struct number_param {
	const char *name;
	u64 actual;
	u64 expected;
};

#define NUMBER(number, value) { #number, number, value }

static const struct number_param number_params[] = {
	NUMBER(SRLOCK_IOC_MAGIC, 0xBD),
	NUMBER(SRLOCK_IOC_ACQUIRE, 0xC060BD01),
	NUMBER(SRLOCK_IOC_RELEASE, 0xC008BD02),
	NUMBER(SRLOCK_IOC_GET_INFO, 0xC090BD03),
	NUMBER(SRLOCK_IOC_BREAK, 0x0000BD04),
	NUMBER(SRLOCK_CLIENT_SIZE, 64),
	NUMBER(SRLOCK_DEADLINE_NONE, U64_MAX),
	NUMBER(SRLOCK_ACQUIRE_FORCE, 1),
	NUMBER(SRLOCK_ACQUIRE_NO_PREVENT, 2),
	NUMBER(SRLOCK_BUSY_NOT, 0),
	NUMBER(SRLOCK_BUSY_HELD, 1),
	NUMBER(SRLOCK_BUSY_CLAIMED, 2),
	NUMBER(SRLOCK_BUSY_QUEUED, 3),
	NUMBER(SRLOCK_BUSY_RELEASING, 4),
	NUMBER(SRLOCK_STATE_FREE, 0),
	NUMBER(SRLOCK_STATE_ACQUIRING, 1),
	NUMBER(SRLOCK_STATE_HELD, 2),
	NUMBER(SRLOCK_STATE_RELEASING, 3),
	NUMBER(SRLOCK_STATE_GONE, 4),
	NUMBER(SRLOCK_FEATURE_FORCE, 1),
	NUMBER(SRLOCK_FEATURE_NO_PREVENT, 2),
	NUMBER(SRLOCK_FEATURE_BREAK, 4),
	NUMBER(SRLOCK_FEATURE_COMMANDS, 8),
	NUMBER(SRLOCK_FEATURE_EVENTS, 16),
	NUMBER(SRLOCK_STATUS_PREVENTED, 1),
	NUMBER(SRLOCK_STATUS_FORCED, 2),
	NUMBER(SRLOCK_STATUS_MINE, 4),
	NUMBER(SRLOCK_STATUS_BROKEN, 8),
	NUMBER(SRLOCK_EVENT_HELD, 1),
	NUMBER(SRLOCK_EVENT_RELEASED, 2),
	NUMBER(SRLOCK_EVENT_BROKEN, 3),
	NUMBER(SRLOCK_EVENT_REFUSED, 4),
	NUMBER(SRLOCK_EVENT_UNPLUGGED, 5),
	NUMBER(SRLOCK_WAY_NONE, 0),
	NUMBER(SRLOCK_WAY_OPEN, 1),
	NUMBER(SRLOCK_WAY_IOCTL, 2),
	NUMBER(SRLOCK_WAY_COMMAND, 3),
	NUMBER(SRLOCK_OPEN_READ, 1),
	NUMBER(SRLOCK_OPEN_WRITE, 2),
	NUMBER(SRLOCK_OPEN_EXCL, 4),
	NUMBER(SRLOCK_OPEN_NONBLOCK, 8),
	NUMBER(SRLOCK_EVENT_GUESS, 1),
};

static void number_get_desc(const struct number_param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(number, number_params, number_get_desc);

static void number_does_not_change(struct kunit *test)
{
	const struct number_param *param = test->param_value;

	KUNIT_EXPECT_EQ(test, param->actual, param->expected);
}

struct flags_param {
	const char *desc;
	u64 flags[5];
};

static const struct flags_param flags_params[] = {
	{ "srlock_acquire.flags", { SRLOCK_ACQUIRE_FORCE, SRLOCK_ACQUIRE_NO_PREVENT } },
	{ "srlock_info.features", { SRLOCK_FEATURE_FORCE, SRLOCK_FEATURE_NO_PREVENT,
				    SRLOCK_FEATURE_BREAK, SRLOCK_FEATURE_COMMANDS,
				    SRLOCK_FEATURE_EVENTS } },
	{ "srlock_info.status", { SRLOCK_STATUS_PREVENTED, SRLOCK_STATUS_FORCED,
				  SRLOCK_STATUS_MINE, SRLOCK_STATUS_BROKEN } },
	{ "srlock_event.code of an open", { SRLOCK_OPEN_READ, SRLOCK_OPEN_WRITE,
					    SRLOCK_OPEN_EXCL, SRLOCK_OPEN_NONBLOCK } },
};

static void flags_get_desc(const struct flags_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(flags, flags_params, flags_get_desc);

static void flags_are_distinct_bits(struct kunit *test)
{
	const struct flags_param *param = test->param_value;
	u64 seen = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(param->flags) && param->flags[i]; i++) {
		KUNIT_EXPECT_EQ(test, hweight64(param->flags[i]), 1);
		KUNIT_EXPECT_EQ(test, seen & param->flags[i], 0);
		seen |= param->flags[i];
	}
	KUNIT_EXPECT_GT(test, i, 1);
}

#define S_OK				0x00000000
#define E_POINTER			0x80004003
#define E_FAIL				0x80004005
#define E_ACCESSDENIED			0x80070005
#define ERROR_INVALID_HANDLE		0x80070006
#define E_OUTOFMEMORY			0x8007000E
#define ERROR_DEV_NOT_EXIST		0x80070037
#define E_INVALIDARG			0x80070057
#define E_RECORDER_COMMAND_TIMEOUT	0xC0AA020D
#define E_RECORDER_LOCKED		0xC0AA0210
#define E_RECORDER_CLIENT_NAME		0xC0AA0211

struct hresult_param {
	const char *name;
	int error;
	u32 acquire;
	u32 release;
	u32 get_info;
	u32 brk;
	bool same;
};

/* A result that is the same for all commands. */
#define SAME(error, hresult) { #error, error, hresult, 0, 0, 0, true }

static const struct hresult_param hresult_params[] = {
	SAME(0, S_OK),
	SAME(EIO, E_FAIL),
	SAME(ENOMEM, E_OUTOFMEMORY),
	SAME(ETIMEDOUT, E_RECORDER_COMMAND_TIMEOUT),
	SAME(EBADF, ERROR_INVALID_HANDLE),
	SAME(ENODEV, ERROR_DEV_NOT_EXIST),
	SAME(EBUSY, E_RECORDER_LOCKED),
	SAME(EFAULT, E_POINTER),
	{ "EPERM", EPERM, E_ACCESSDENIED, ERROR_INVALID_HANDLE, E_ACCESSDENIED,
	  E_ACCESSDENIED },
	{ "EINVAL", EINVAL, E_RECORDER_CLIENT_NAME, E_INVALIDARG, E_INVALIDARG,
	  E_INVALIDARG },
	SAME(EOWNERDEAD, E_FAIL),
	SAME(EOPNOTSUPP, E_FAIL),
	SAME(EINTR, E_FAIL),
	SAME(E2BIG, E_FAIL),
	SAME(ENOTTY, E_FAIL),
	SAME(EAGAIN, E_FAIL),
	SAME(EOVERFLOW, E_FAIL),
};

static void hresult_get_desc(const struct hresult_param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(hresult, hresult_params, hresult_get_desc);

static void hresult_is_imapi2s(struct kunit *test)
{
	const struct hresult_param *param = test->param_value;
	u32 same = param->acquire;

	KUNIT_EXPECT_EQ(test, srlock_hresult(SRLOCK_IOC_ACQUIRE, param->error),
			param->acquire);
	KUNIT_EXPECT_EQ(test, srlock_hresult(SRLOCK_IOC_RELEASE, param->error),
			param->same ? same : param->release);
	KUNIT_EXPECT_EQ(test, srlock_hresult(SRLOCK_IOC_GET_INFO, param->error),
			param->same ? same : param->get_info);
	KUNIT_EXPECT_EQ(test, srlock_hresult(SRLOCK_IOC_BREAK, param->error),
			param->same ? same : param->brk);
}

/* The size is part of the number, but not of what a number means. */
static void hresult_takes_commands_of_any_size(struct kunit *test)
{
	unsigned long acquire = _IOC(_IOC_READ | _IOC_WRITE, SRLOCK_IOC_MAGIC, 0x01, 128);
	unsigned long release = _IOC(_IOC_READ | _IOC_WRITE, SRLOCK_IOC_MAGIC, 0x02, 128);

	KUNIT_EXPECT_EQ(test, srlock_hresult(acquire, EINVAL), (u32)E_RECORDER_CLIENT_NAME);
	KUNIT_EXPECT_EQ(test, srlock_hresult(release, EPERM), (u32)ERROR_INVALID_HANDLE);
}

/* The kernel's list of ioctl magics leaves these to newcomers. */
static void magic_is_nobody_elses(struct kunit *test)
{
	u8 magic = SRLOCK_IOC_MAGIC;
	bool unlisted = (magic >= 0xBB && magic <= 0xBF) ||
			(magic >= 0xC1 && magic <= 0xC9) ||
			(magic >= 0xD0 && magic <= 0xDA);

	KUNIT_EXPECT_TRUE(test, unlisted);
}

static struct kunit_case abi_cases[] = {
	KUNIT_CASE_PARAM(layout_does_not_move, layout_gen_params),
	KUNIT_CASE_PARAM(number_does_not_change, number_gen_params),
	KUNIT_CASE_PARAM(flags_are_distinct_bits, flags_gen_params),
	KUNIT_CASE_PARAM(hresult_is_imapi2s, hresult_gen_params),
	KUNIT_CASE(hresult_takes_commands_of_any_size),
	KUNIT_CASE(magic_is_nobody_elses),
	{}
};

static struct kunit_suite abi_suite = {
	.name		= "srlock-abi",
	.test_cases	= abi_cases,
};

kunit_test_suite(abi_suite);
