// SPDX-License-Identifier: GPL-2.0-or-later
/* The control socket: connections */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"

/**
 * control_open() - make the socket
 * @control: its other fields are filled in
 * @path: where; an old one there is replaced
 * Return: whether it worked; errno says why not
 */
bool control_open(struct control *control, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	for (int i = 0; i < CONTROL_CLIENTS; i++)
		control->clients[i].fd = -1;
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	strcpy(address.sun_path, path);
	unlink(path);
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (control->fd < 0)
		return false;
	if (bind(control->fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(control->fd, CONTROL_CLIENTS)) {
		close(control->fd);
		return false;
	}
	return true;
}

/** control_poll_fds() - the socket and everybody connected: at most 1 + CONTROL_CLIENTS */
int control_poll_fds(const struct control *control, struct pollfd *fds)
{
	int count = 0;

	fds[count++] = (struct pollfd){ .fd = control->fd, .events = POLLIN };
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		if (control->clients[i].fd >= 0)
			fds[count++] = (struct pollfd){ .fd = control->clients[i].fd,
							.events = POLLIN };
	return count;
}

static void hang_up(struct client *client)
{
	close(client->fd);
	client->fd = -1;
}

static void send_all(struct client *client, const char *text, size_t length)
{
	while (length) {
		ssize_t sent = send(client->fd, text, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			break;
		text += sent;
		length -= (size_t)sent;
	}
	hang_up(client);
}

static void answer(struct control *control, struct client *client)
{
	const char *error;
	char *text = NULL;
	size_t length = 0;
	FILE *body;

	body = open_memstream(&text, &length);
	if (!body) {
		hang_up(client);
		return;
	}
	fputs("ok\n", body);
	error = control_execute(control, client->line, body);
	if (error) {
		rewind(body);
		fprintf(body, "error: %s\n", error);
	}
	fclose(body);
	send_all(client, text, length);
	free(text);
}

static void start_waiting(struct control *control, struct client *client,
			  enum control_wait wait)
{
	client->wait = wait;
	control_notify(control);
}

static void take_line(struct control *control, struct client *client)
{
	char *end = memchr(client->line, '\n', client->length);

	if (!end) {
		if (client->length == sizeof(client->line))
			hang_up(client);
		return;
	}
	*end = '\0';
	if (!strcmp(client->line, "await held"))
		start_waiting(control, client, WAIT_HELD);
	else if (!strcmp(client->line, "await idle"))
		start_waiting(control, client, WAIT_IDLE);
	else
		answer(control, client);
}

static void receive(struct control *control, struct client *client)
{
	ssize_t received;

	if (client->wait != WAIT_NOTHING) {	/* nothing more is due: it went away */
		hang_up(client);
		return;
	}
	received = recv(client->fd, client->line + client->length,
			sizeof(client->line) - client->length, 0);
	if (received < 0 && errno == EINTR)
		return;
	if (received <= 0) {
		hang_up(client);
		return;
	}
	client->length += (size_t)received;
	take_line(control, client);
}

static void admit(struct control *control)
{
	int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		if (control->clients[i].fd < 0) {
			control->clients[i] = (struct client){ .fd = fd };
			return;
		}
	}
	close(fd);
}

static struct client *client_of(struct control *control, int fd)
{
	for (int i = 0; i < CONTROL_CLIENTS; i++)
		if (control->clients[i].fd == fd)
			return &control->clients[i];
	return NULL;
}

/**
 * control_serve() - serve those who have something to say
 * @control: the socket
 * @fds: of control_poll_fds(), after poll()
 * @count: entries of @fds
 */
void control_serve(struct control *control, const struct pollfd *fds, int count)
{
	for (int i = 1; i < count; i++) {
		struct client *client = client_of(control, fds[i].fd);

		if (client && fds[i].revents)
			receive(control, client);
	}
	if (fds[0].revents)
		admit(control);
}

/** control_notify() - the queue may be as somebody has been waiting for */
void control_notify(struct control *control)
{
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *client = &control->clients[i];

		if (client->fd < 0)
			continue;
		if ((client->wait == WAIT_HELD && queue_is_held(control->queue)) ||
		    (client->wait == WAIT_IDLE && !control->queue->head))
			send_all(client, "ok\n", 3);
	}
}
