/*
 * The programs of a test: processes that run a role of the test program itself, and end with it. A program says lines
 * to its test, and ends when its standard input does.
 */
#ifndef TEST_NAMESERVICE_PROGRAMS_H
#define TEST_NAMESERVICE_PROGRAMS_H

#include "test_support.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct program {
    pid_t pid;
    int in, out; /* as it has them */
};

struct role {
    const char *name;
    int (*run)(char **arguments); /* ended by NULL; what the program ends with */
};

/* The test program's main: true if this is a program of a test, which has done its part. */
static inline bool role_run(const struct role *roles, char **argv, int *status)
{
    for (; argv[1] && roles->name; roles++)
        if (!strcmp(roles->name, argv[1])) {
            *status = roles->run(argv + 2);
            return true;
        }
    return false;
}

/* In a program: says a line. */
static inline void program_say(const char *line)
{
    printf("%s\n", line);
    fflush(stdout);
}

/* In a program: waits until its test lets it go on, or end. */
static inline void program_wait(void)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) < 0)
        ;
}

/* Starts a program in a role, with arguments that are ended by NULL. Its threads are its own: it is a fresh process. */
static inline void program_start(struct program *program, const char *role, const char *const *arguments)
{
    const char *argv[16] = {"/proc/self/exe", role};
    int in[2], out[2];
    for (int i = 0; arguments[i]; i++) {
        assert_true(i < 13);
        argv[i + 2] = arguments[i];
    }
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    program->pid = fork();
    assert_true(program->pid >= 0);
    if (!program->pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // whatever becomes of the test
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execv(argv[0], (char **)(uintptr_t)argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    program->in = in[1];
    program->out = out[0];
}

/* Waits until the program says this. */
static inline void program_says(struct program *program, const char *expected)
{
    char line[256];
    size_t length = 0;
    struct pollfd ready = {.fd = program->out, .events = POLLIN};
    for (;;) {
        assert_true(length < sizeof(line) - 1);
        assert_int_equal(poll(&ready, 1, 60000), 1); // it surely comes
        assert_int_equal(read(program->out, line + length, 1), 1);
        if (line[length] == '\n')
            break;
        length++;
    }
    line[length] = '\0';
    assert_string_equal(line, expected);
}

/* Lets it go on. */
static inline void program_go(struct program *program)
{
    assert_int_equal(write(program->in, "\n", 1), 1);
}

/* Without a word. */
static inline void program_kill(struct program *program)
{
    assert_int_equal(kill(program->pid, SIGKILL), 0);
    assert_int_equal(waitpid(program->pid, NULL, 0), program->pid);
    close(program->in);
    close(program->out);
}

/* Tells it to end, and waits until it has, as it should. */
static inline void program_end(struct program *program)
{
    int status;
    close(program->in);
    assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
    close(program->out);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#endif
