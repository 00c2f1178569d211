/* An etcd cluster of real processes on loopback, with its data in a temporary folder. */
#ifndef TEST_NAMESERVICE_ETCD_CLUSTER_H
#define TEST_NAMESERVICE_ETCD_CLUSTER_H

#include "test_support.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMBERS_MOST 3

struct etcd_member {
    pid_t pid; /* 0: it does not run */
    int port, peer_port;
};

struct etcd_cluster {
    int count;
    struct etcd_member members[MEMBERS_MOST];
    char folder[64];
};

static inline void nap_ms(long ms)
{
    const struct timespec nap = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&nap, NULL);
}

/* Is somebody listening there? With `held`, takes the port instead, if it is free. */
static inline bool port_try(int port, int *held)
{
    const struct sockaddr_in place = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr *address = (const struct sockaddr *)(const void *)&place;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = !(held ? bind(fd, address, sizeof(place)) : connect(fd, address, sizeof(place)));
    if (good && held)
        *held = fd;
    else
        close(fd);
    return good;
}

/* Ports that nobody has, from where the system gives none by itself, and tests that run beside this one begin
 * elsewhere. All are held until the last is found. */
static inline void ports_find(struct etcd_cluster *cluster)
{
    int held[2 * MEMBERS_MOST], found = 0, port = 20000 + getpid() % 1000 * 10;
    while (found < 2 * cluster->count) {
        if (port_try(++port, &held[found])) {
            struct etcd_member *member = &cluster->members[found / 2];
            *(found % 2 ? &member->peer_port : &member->port) = port;
            found++;
        }
    }
    while (found)
        close(held[--found]);
}

static inline void etcd_member_start(struct etcd_cluster *cluster, int index)
{
    struct etcd_member *member = &cluster->members[index];
    char name[16], folder[96], log[112], url[64], peer[64], all[256] = "";
    snprintf(name, sizeof(name), "m%d", index);
    snprintf(folder, sizeof(folder), "%s/m%d", cluster->folder, index);
    snprintf(log, sizeof(log), "%s.log", folder);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", member->port);
    snprintf(peer, sizeof(peer), "http://127.0.0.1:%d", member->peer_port);
    for (int i = 0; i < cluster->count; i++)
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%sm%d=http://127.0.0.1:%d", i ? "," : "", i,
                 cluster->members[i].peer_port);
    char *const arguments[] = {"etcd", "--name",
                               name,   "--data-dir",
                               folder, "--listen-client-urls",
                               url,    "--advertise-client-urls",
                               url,    "--listen-peer-urls",
                               peer,   "--initial-advertise-peer-urls",
                               peer,   "--initial-cluster",
                               all,    NULL};
    member->pid = fork();
    if (member->pid)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL); // whatever becomes of the test
    int fd = open(log, O_CREAT | O_APPEND | O_WRONLY, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execvp("etcd", arguments);
    _exit(127);
}

/* As a machine that loses its power. */
static inline void etcd_member_kill(struct etcd_cluster *cluster, int index)
{
    struct etcd_member *member = &cluster->members[index];
    if (!member->pid)
        return;
    kill(member->pid, SIGKILL);
    waitpid(member->pid, NULL, 0);
    member->pid = 0;
}

/* False: it has ended, as somebody else has its ports by now. */
static inline bool etcd_member_wait(struct etcd_cluster *cluster, int index)
{
    struct etcd_member *member = &cluster->members[index];
    while (!port_try(member->port, NULL)) {
        int status;
        if (waitpid(member->pid, &status, WNOHANG) == member->pid) {
            member->pid = 0;
            return false;
        }
        nap_ms(10);
    }
    return true;
}

static inline void etcd_cluster_stop(struct etcd_cluster *cluster)
{
    char command[128];
    for (int i = 0; i < cluster->count; i++)
        etcd_member_kill(cluster, i);
    snprintf(command, sizeof(command), "rm -rf '%s'", cluster->folder);
    assert_int_equal(system(command), 0);
}

static inline void etcd_cluster_start(struct etcd_cluster *cluster, int count)
{
    bool runs = false;
    for (int attempt = 0; attempt < 5 && !runs; attempt++) {
        *cluster = (struct etcd_cluster){.count = count, .folder = "/tmp/soma-etcd-XXXXXX"};
        assert_non_null(mkdtemp(cluster->folder));
        ports_find(cluster);
        for (int i = 0; i < count; i++)
            etcd_member_start(cluster, i);
        runs = true;
        for (int i = 0; i < count; i++)
            runs = etcd_member_wait(cluster, i) && runs;
        if (!runs)
            etcd_cluster_stop(cluster);
    }
    if (!runs)
        fail_msg("etcd does not run; scripts/bootstrap.sh installs it");
}

/* `text` gets the address of names below a prefix, 128 bytes. */
static inline const char *etcd_cluster_address(const struct etcd_cluster *cluster, const char *prefix, char *text)
{
    int size = snprintf(text, 128, "etcd://");
    for (int i = 0; i < cluster->count; i++)
        size += snprintf(text + size, 128 - (size_t)size, "%s127.0.0.1:%d", i ? "," : "", cluster->members[i].port);
    snprintf(text + size, 128 - (size_t)size, "/%s", prefix);
    return text;
}

#endif
