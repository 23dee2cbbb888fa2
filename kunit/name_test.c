// SPDX-License-Identifier: GPL-2.0-only
/*
 * Client names: 1 to 63 characters of the alphabet that IMAPI2 has, and a NUL
 */
#include <kunit/test.h>
#include <linux/string.h>

#include "lock.h"

struct name_param {
	const char *desc;
	const char *name;
	bool valid;
};

#define SIXTY	"123456789.123456789,123456789:123456789;123456789_123456789-"

static const struct name_param name_params[] = {
	{ "one character", "x", true },
	{ "all kinds of characters", "Az09 .,:;_-", true },
	{ "a program and its version", "xorriso-1.5.4: burner 2", true },
	{ "one space", " ", true },
	{ "62 characters", SIXTY "12", true },
	{ "63 characters", SIXTY "123", true },
	{ "empty", "", false },
	{ "64 characters and no NUL", SIXTY "1234", false },
	{ "bad first character", "/burner", false },
	{ "bad last character", "burner\n", false },
	{ "bad 63rd character", SIXTY "12!", false },
	{ "umlaut in Latin-1", "u\xfcr", false },
	{ "umlaut in UTF-8", "u\xc3\xbcr", false },
	{ "tab", "a\tb", false },
	{ "percent sign", "100%s", false },
};

static void name_get_desc(const struct name_param *param, char *desc)
{
	strscpy(desc, param->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(name, name_params, name_get_desc);

static void name_is_judged(struct kunit *test)
{
	const struct name_param *param = test->param_value;
	char name[SRLOCK_CLIENT_SIZE] = {};

	/* Not terminated if it has 64 characters. */
	memcpy(name, param->name, min(strlen(param->name), sizeof(name)));

	KUNIT_EXPECT_EQ(test, srlock_name_is_valid(name), param->valid);
}

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;_-";

/* Each byte value but NUL, alone, in front, in the middle and at the end. */
static void name_each_byte_is_judged_everywhere(struct kunit *test)
{
	static const unsigned int places[][2] = {	/* place, length */
		{ 0, 1 }, { 0, 10 }, { 5, 10 }, { 9, 10 }, { 62, 63 },
	};
	char name[SRLOCK_CLIENT_SIZE];
	unsigned int byte, i, good = 0;

	for (byte = 1; byte < 256; byte++) {
		bool valid = strchr(alphabet, byte);

		good += valid;
		for (i = 0; i < ARRAY_SIZE(places); i++) {
			memset(name, 0, sizeof(name));
			memset(name, 'x', places[i][1]);
			name[places[i][0]] = byte;
			KUNIT_EXPECT_EQ_MSG(test, srlock_name_is_valid(name), valid,
					    "byte 0x%02x at %u of %u", byte,
					    places[i][0], places[i][1]);
		}
	}
	KUNIT_EXPECT_EQ(test, good, 26 + 26 + 10 + 7);
}

/* NUL is the one that is left: it ends the name, wherever it is. */
static void name_ends_at_nul(struct kunit *test)
{
	char name[SRLOCK_CLIENT_SIZE];
	unsigned int length;

	for (length = 0; length < SRLOCK_CLIENT_SIZE; length++) {
		memset(name, 0xff, sizeof(name));
		memset(name, 'x', length);
		name[length] = 0;
		KUNIT_EXPECT_EQ_MSG(test, srlock_name_is_valid(name), length > 0,
				    "length %u", length);
	}
}

static struct kunit_case name_cases[] = {
	KUNIT_CASE_PARAM(name_is_judged, name_gen_params),
	KUNIT_CASE(name_each_byte_is_judged_everywhere),
	KUNIT_CASE(name_ends_at_nul),
	{}
};

static struct kunit_suite name_suite = {
	.name		= "srlock-name",
	.test_cases	= name_cases,
};

kunit_test_suite(name_suite);
