/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doubly linked rings with the names that the kernel has for them
 *
 * As far as the lock uses them. Every step checks that both neighbours agree.
 */
#ifndef SRLOCK_FUZZ_LIST_H
#define SRLOCK_FUZZ_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

struct list_head {
	struct list_head *next, *prev;
};

#define container_of(pointer, type, member) \
	((type *)((char *)(pointer) - offsetof(type, member)))

#define list_entry(pointer, type, member)	container_of(pointer, type, member)

static inline void INIT_LIST_HEAD(struct list_head *node)
{
	node->next = node;
	node->prev = node;
}

static inline void list_check(const struct list_head *node)
{
	if (node->next->prev != node || node->prev->next != node)
		abort();
}

static inline bool list_empty(const struct list_head *head)
{
	list_check(head);

	return head->next == head;
}

static inline void list_add_tail(struct list_head *node, struct list_head *head)
{
	struct list_head *last = head->prev;

	list_check(head);
	node->prev = last;
	node->next = head;
	last->next = node;
	head->prev = node;
}

static inline void list_add(struct list_head *node, struct list_head *head)
{
	list_add_tail(node, head->next);
}

static inline void list_del_init(struct list_head *node)
{
	list_check(node);
	node->prev->next = node->next;
	node->next->prev = node->prev;
	INIT_LIST_HEAD(node);
}

#define list_for_each_entry(entry, head, member) \
	for ((entry) = list_entry((head)->next, __typeof__(*(entry)), member); \
	     &(entry)->member != (head); \
	     (entry) = list_entry((entry)->member.next, __typeof__(*(entry)), member))

#define list_for_each_entry_safe(entry, following, head, member) \
	for ((entry) = list_entry((head)->next, __typeof__(*(entry)), member), \
	     (following) = list_entry((entry)->member.next, __typeof__(*(entry)), \
				      member); \
	     &(entry)->member != (head); \
	     (entry) = (following), \
	     (following) = list_entry((following)->member.next, \
				      __typeof__(*(following)), member))

#endif /* SRLOCK_FUZZ_LIST_H */
