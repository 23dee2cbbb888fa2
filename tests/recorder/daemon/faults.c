// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Faults: reading a rule, and finding the one that a command meets
 *
 *	PATTERN [nth=N] [times=N|forever] [delay=MS] [ACTION]
 *
 * PATTERN is "any" or the beginning of a CDB in hexadecimal, with ".." for a byte
 * that may be anything. ACTION is one of sense=K/ASC/ASCQ, attention=ASC/ASCQ,
 * status=HH, busy, hang, deaf; all numbers in it are hexadecimal.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"

static bool parse_byte(const char *text, u8 *value)
{
	char digits[3] = { text[0], text[0] ? text[1] : '\0', '\0' };

	if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
		return false;
	*value = (u8)strtoul(digits, NULL, 16);
	return true;
}

static const char *parse_pattern(struct fault *fault, const char *text)
{
	size_t length = strlen(text);

	if (!strcmp(text, "any"))
		return NULL;
	if (!length || length % 2 || length / 2 > FAULT_PATTERN_LENGTH)
		return "a pattern is \"any\" or pairs of hexadecimal digits or dots";
	for (size_t i = 0; i < length / 2; i++) {
		if (!strncmp(text + 2 * i, "..", 2))
			continue;
		if (!parse_byte(text + 2 * i, &fault->value[i]))
			return "a pattern is \"any\" or pairs of hexadecimal digits or dots";
		fault->mask[i] = 0xff;
	}
	return NULL;
}

static bool parse_number(const char *text, unsigned int *value)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || number > 1000000000)
		return false;
	*value = (unsigned int)number;
	return true;
}

/* One to three hexadecimal numbers with slashes between them. */
static bool parse_codes(const char *text, unsigned int count, sense_t *sense)
{
	unsigned long codes[3] = { 0 };
	const char *at = text;
	char *end;

	for (unsigned int i = 0; i < count; i++) {
		if (!isxdigit((unsigned char)*at))
			return false;
		codes[i] = strtoul(at, &end, 16);
		if (codes[i] > 0xff || *end != (i + 1 < count ? '/' : '\0'))
			return false;
		at = end + 1;
	}
	if (count == 2)
		*sense = SENSE(0x6, codes[0], codes[1]);
	else
		*sense = SENSE(codes[0], codes[1], codes[2]);
	return SENSE_KEY(*sense) == (count == 2 ? 0x6 : codes[0]);
}

/* The part of a word behind its key, NULL if it has another key. */
static const char *value_of(const char *word, const char *key)
{
	size_t length = strlen(key);

	return strncmp(word, key, length) ? NULL : word + length;
}

static const char *parse_action(struct fault *fault, const char *word)
{
	const char *status = value_of(word, "status=");
	const char *sense = value_of(word, "sense=");
	const char *attention = value_of(word, "attention=");

	if (fault->action != FAULT_NONE)
		return "a fault has one action";
	if (!strcmp(word, "hang")) {
		fault->action = FAULT_HANG;
	} else if (!strcmp(word, "deaf")) {
		fault->action = FAULT_DEAF;
	} else if (!strcmp(word, "busy")) {
		fault->action = FAULT_STATUS;
		fault->status = STATUS_BUSY;
	} else if (status) {
		fault->action = FAULT_STATUS;
		if (strlen(status) != 2 || !parse_byte(status, &fault->status) ||
		    fault->status == STATUS_CHECK_CONDITION)
			return "status= takes two hexadecimal digits, and not 02";
	} else if (sense) {
		fault->action = FAULT_SENSE;
		if (!parse_codes(sense, 3, &fault->sense))
			return "sense= takes K/ASC/ASCQ in hexadecimal";
	} else if (attention) {
		fault->action = FAULT_SENSE;
		if (!parse_codes(attention, 2, &fault->sense))
			return "attention= takes ASC/ASCQ in hexadecimal";
	} else {
		return "unknown word in a fault";
	}
	return NULL;
}

static const char *parse_word(struct fault *fault, const char *word)
{
	unsigned int number;
	const char *value;

	value = value_of(word, "nth=");
	if (value) {
		if (!parse_number(value, &number) || !number)
			return "nth= takes a number from 1";
		fault->pass = number - 1;
		return NULL;
	}
	value = value_of(word, "times=");
	if (value) {
		if (!parse_number(value, &fault->times) || !fault->times)
			return "times= takes a number from 1";
		return NULL;
	}
	if (!strcmp(word, "forever")) {
		fault->times = FAULT_FOREVER;
		return NULL;
	}
	value = value_of(word, "delay=");
	if (value)
		return parse_number(value, &fault->delay_ms) ? NULL : "delay= takes milliseconds";
	return parse_action(fault, word);
}

/**
 * faults_add() - add a rule
 * @faults: all of them; earlier ones come first
 * @text: the rule
 * Return: NULL, or what is wrong with it; then nothing has changed
 */
const char *faults_add(struct faults *faults, const char *text)
{
	struct fault fault = { .times = 1 };
	char words[sizeof(fault.text)];
	const char *error = "a fault begins with a pattern";
	char *save, *word;

	if (strlen(text) >= sizeof(words))
		return "too long";
	if (faults->count == FAULTS_MAX)
		return "too many faults";
	strcpy(words, text);
	strcpy(fault.text, text);
	word = strtok_r(words, " ", &save);
	if (word)
		error = parse_pattern(&fault, word);
	while (!error && (word = strtok_r(NULL, " ", &save)))
		error = parse_word(&fault, word);
	if (!error && fault.action == FAULT_NONE && !fault.delay_ms)
		error = "a fault has an action or a delay";
	if (error)
		return error;
	if (fault.action == FAULT_NONE)
		fault.action = FAULT_DELAY;
	faults->list[faults->count++] = fault;
	return NULL;
}

static bool matches(const struct fault *fault, const u8 *cdb, size_t length)
{
	for (size_t i = 0; i < FAULT_PATTERN_LENGTH; i++)
		if (fault->mask[i] && (i >= length || (cdb[i] & fault->mask[i]) != fault->value[i]))
			return false;
	return true;
}

static void remove_fault(struct faults *faults, unsigned int index)
{
	faults->count--;
	memmove(&faults->list[index], &faults->list[index + 1],
		(faults->count - index) * sizeof(faults->list[0]));
}

/**
 * faults_strike() - the fault that a command meets
 * @faults: all of them
 * @cdb: the command
 * @length: of @cdb
 * Return: the fault, with FAULT_NONE for none
 */
struct fault faults_strike(struct faults *faults, const u8 *cdb, size_t length)
{
	struct fault struck = { .action = FAULT_NONE };

	for (unsigned int i = 0; i < faults->count; i++) {
		struct fault *fault = &faults->list[i];

		if (!matches(fault, cdb, length))
			continue;
		if (fault->pass) {
			fault->pass--;
			continue;
		}
		struck = *fault;
		if (fault->times != FAULT_FOREVER && !--fault->times)
			remove_fault(faults, i);
		break;
	}
	return struck;
}

void faults_clear(struct faults *faults)
{
	faults->count = 0;
}

void faults_print(const struct faults *faults, FILE *to)
{
	for (unsigned int i = 0; i < faults->count; i++)
		fprintf(to, "%s\n", faults->list[i].text);
}
