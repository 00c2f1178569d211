// The workloads of remote delivery on CAF's middleman: actors published and found over TCP on loopback, each process
// with a system of its own. Otherwise as caf_bench.cpp.
#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace caf;
using steady = std::chrono::steady_clock;

namespace {

using parcel_atom = atom_constant<atom("parcel")>;
constexpr parcel_atom parcel_atom_v{};
using proceed_atom = atom_constant<atom("proceed")>;
constexpr proceed_atom proceed_atom_v{};
using met_atom = atom_constant<atom("met")>;
constexpr met_atom met_atom_v{};

constexpr uint32_t fanin_nodes = 8, burst = 100;

uint64_t ops = 0;
std::atomic<bool> done{false};
std::atomic<int64_t> end_ns{0};
std::vector<double> took; // seconds of each round trip

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady::now().time_since_epoch()).count();
}

void finish() {
  end_ns = now_ns();
  done = true;
  done.notify_all();
}

[[noreturn]] void fail(const char* what) {
  fprintf(stderr, "caf_remote: %s\n", what);
  _exit(1);
}

struct config : actor_system_config {
  explicit config(uint32_t workers) {
    load<io::middleman>();
    set("scheduler.max-threads", workers);
  }
};

// this process's actor: counts, or asks

struct sink_state {
  uint64_t got = 0;
};

behavior sink(stateful_actor<sink_state>* self) {
  return {
    [=](parcel_atom, const std::string&) {
      if (++self->state.got == ops)
        finish();
    },
  };
}

void ask(event_based_actor* self, const actor& echo) {
  auto asked = now_ns();
  self->request(echo, infinite, parcel_atom_v, std::string(64, 'x')).then([=](const std::string&) {
    took.push_back(double(now_ns() - asked) / 1e9);
    if (took.size() < ops + ops / 10)
      ask(self, echo);
    else
      finish();
  });
}

behavior asker(event_based_actor* self) {
  return {
    [=](met_atom, const actor& echo) { ask(self, echo); },
  };
}

// the others' actors: send, or answer

struct source_state {
  uint64_t left = 0;
};

behavior source(stateful_actor<source_state>* self, actor hub, uint64_t count, size_t size) {
  self->state.left = count;
  return {
    [=](proceed_atom) {
      for (uint32_t i = 0; i < burst && self->state.left; i++, self->state.left--)
        self->send(hub, parcel_atom_v, std::string(size, 'x'));
      if (self->state.left)
        self->send(self, proceed_atom_v);
    },
  };
}

behavior echo(event_based_actor* self, actor hub) {
  return {
    [=](proceed_atom) { self->send(hub, met_atom_v, actor{self}); },
    [=](parcel_atom, std::string& load) { return std::move(load); },
  };
}

// the processes

// Another one: told the hub's port, it says when it has found the hub, and begins when told.
template <class Spawn>
void other_run(uint32_t workers, int hub_process, Spawn spawn) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  uint16_t port = 0;
  char byte = 0;
  config cfg{workers};
  actor_system sys{cfg};
  if (read(hub_process, &port, sizeof(port)) != sizeof(port))
    _exit(1);
  auto hub = sys.middleman().remote_actor("127.0.0.1", port);
  if (!hub)
    fail("can't find the hub");
  actor own = spawn(sys, *hub);
  if (write(hub_process, "", 1) != 1 || read(hub_process, &byte, 1) != 1)
    _exit(1);
  anon_send(own, proceed_atom_v);
  pause(); // until it is killed: all was measured then
}

template <class Spawn>
double measure(uint32_t workers, uint32_t nodes, uint32_t node_workers, actor (*here)(actor_system&), Spawn spawn) {
  struct other {
    pid_t pid;
    int socket;
  };
  std::vector<other> others;
  for (uint32_t i = 0; i < nodes; i++) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
      fail("no sockets");
    others.push_back({fork(), ends[0]});
    if (!others.back().pid)
      other_run(node_workers, ends[1], spawn);
    close(ends[1]);
  }
  auto& sys = *new actor_system{*new config{workers}}; // taking it down would wait for its actors
  auto port = sys.middleman().publish(here(sys), 0, "127.0.0.1");
  if (!port)
    fail("can't publish");
  char byte = 0;
  for (auto& other : others)
    if (write(other.socket, &*port, sizeof(*port)) != sizeof(*port))
      fail("write");
  for (auto& other : others)
    if (read(other.socket, &byte, 1) != 1)
      fail("read");
  auto start = now_ns();
  for (auto& other : others)
    if (write(other.socket, "", 1) != 1)
      fail("write");
  done.wait(false);
  for (auto& other : others)
    kill(other.pid, SIGKILL), waitpid(other.pid, nullptr, 0);
  return double(end_ns - start) / 1e9;
}

double throughput(uint32_t workers, uint32_t nodes, size_t size) {
  ops -= ops % nodes;
  return measure(
    workers, nodes, nodes > 1 ? 1 : workers, [](actor_system& sys) { return sys.spawn(sink); },
    [=](actor_system& sys, const actor& hub) { return sys.spawn(source, hub, ops / nodes, size); });
}

// The trips that count, sorted; see bench/trips.h.
double latency(uint32_t workers) {
  measure(
    workers, 1, workers, [](actor_system& sys) { return sys.spawn(asker); },
    [](actor_system& sys, const actor& hub) { return sys.spawn(echo, hub); });
  took.erase(took.begin(), took.begin() + static_cast<std::ptrdiff_t>(ops / 10));
  double seconds = 0;
  for (double trip : took)
    seconds += trip;
  std::sort(took.begin(), took.end());
  return seconds;
}

} // namespace

int main(int argc, char** argv) {
  std::string workload = argc > 1 ? argv[1] : "";
  uint32_t workers = 2;
  for (int i = 2; i + 1 < argc; i++) {
    if (!strcmp(argv[i], "--workers"))
      workers = static_cast<uint32_t>(atoi(argv[i + 1]));
    if (!strcmp(argv[i], "--ops"))
      ops = strtoull(argv[i + 1], nullptr, 10);
  }
  double seconds = 0;
  auto with = [&](uint64_t fallback) { ops = ops ? ops : fallback; };
  if (workload == "remote_throughput")
    with(250000), seconds = throughput(workers, 1, 64);
  else if (workload == "remote_throughput_1k")
    with(150000), seconds = throughput(workers, 1, 1024);
  else if (workload == "remote_fanin")
    with(300000), seconds = throughput(workers, fanin_nodes, 64);
  else if (workload == "remote_latency")
    with(10000), seconds = latency(workers);
  else {
    fprintf(stderr, "usage: caf_remote WORKLOAD [--workers N] [--ops N]\n");
    return 2;
  }
  printf("{\"workload\":\"%s\",\"impl\":\"caf\",\"version\":\"%d.%d.%d\",\"workers\":%u,\"ops\":%llu,\"seconds\":%.6f,"
         "\"ops_per_s\":%.0f",
         workload.c_str(), CAF_VERSION / 10000, CAF_VERSION / 100 % 100, CAF_VERSION % 100, workers,
         static_cast<unsigned long long>(ops), seconds, double(ops) / seconds);
  if (!took.empty())
    printf(",\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f", took[ops / 2] * 1e6, took[ops - 1 - ops / 100] * 1e6,
           took[ops - 1 - ops / 1000] * 1e6);
  printf("}\n");
  fflush(stdout);
  _exit(0);
}
