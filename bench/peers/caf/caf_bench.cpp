// The workloads of soma_bench on CAF, written as its manual does: event-based and stateful actors, messages by atoms
// and values, `--workers` as the scheduler's max-threads. One JSON line a run. See bench/README.md for the workloads.
#include <caf/all.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <unistd.h>

using namespace caf;
using steady = std::chrono::steady_clock;

namespace {

using token_atom = atom_constant<atom("token")>;
constexpr token_atom token_atom_v{};
using neighbour_atom = atom_constant<atom("neighbour")>;
constexpr neighbour_atom neighbour_atom_v{};
using item_atom = atom_constant<atom("item")>;
constexpr item_atom item_atom_v{};
using proceed_atom = atom_constant<atom("proceed")>;
constexpr proceed_atom proceed_atom_v{};
using poke_atom = atom_constant<atom("poke")>;
constexpr poke_atom poke_atom_v{};
using grow_atom = atom_constant<atom("grow")>;
constexpr grow_atom grow_atom_v{};
using sum_atom = atom_constant<atom("sum")>;
constexpr sum_atom sum_atom_v{};
using arm_atom = atom_constant<atom("arm")>;
constexpr arm_atom arm_atom_v{};
using due_atom = atom_constant<atom("due")>;
constexpr due_atom due_atom_v{};

constexpr uint32_t ring_agents = 503, fanin_senders = 100, fanin_burst = 100, churn_wave = 1000;

uint64_t ops = 0;
double rss_per_agent = 0;
double limit = 0; // overload: operations a second of the receiver by itself
std::atomic<uint64_t> finished{0};
std::atomic<bool> done{false};
std::atomic<int64_t> end_ns{0};

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady::now().time_since_epoch()).count();
}

void finish() {
  end_ns = now_ns();
  done = true;
  done.notify_all();
}

uint64_t rss_now() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// From /proc, as getrusage counts what ran before exec, too.
uint64_t rss_peak() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word)
    if (word == "VmHWM:") {
      uint64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  return 0;
}

// ring and ping-pong

struct station_state {
  actor next;
};

behavior station(stateful_actor<station_state>* self) {
  return {
    [=](neighbour_atom, const actor& next) { self->state.next = next; },
    [=](token_atom, uint64_t left) {
      if (left)
        self->send(self->state.next, token_atom_v, left - 1);
      else {
        self->state.next = nullptr;
        finish();
      }
    },
  };
}

double round_trip(actor_system& sys, uint32_t agents) {
  std::vector<actor> all;
  for (uint32_t i = 0; i < agents; i++)
    all.push_back(sys.spawn(station));
  for (uint32_t i = 0; i < agents; i++)
    anon_send(all[i], neighbour_atom_v, all[(i + 1) % agents]);
  auto start = now_ns();
  anon_send(all[0], token_atom_v, ops);
  done.wait(false);
  for (auto& a : all)
    anon_send_exit(a, exit_reason::kill);
  return double(end_ns - start) / 1e9;
}

// fan-in

struct receiver_state {
  uint64_t got = 0;
};

behavior receiver(stateful_actor<receiver_state>* self) {
  return {
    [=](item_atom) {
      if (++self->state.got == ops) {
        finish();
        self->quit();
      }
    },
  };
}

struct sender_state {
  uint64_t left = 0;
};

behavior sender(stateful_actor<sender_state>* self, actor to, uint64_t left) {
  self->state.left = left;
  return {
    [=](proceed_atom) {
      for (uint32_t i = 0; i < fanin_burst && self->state.left; i++, self->state.left--)
        self->send(to, item_atom_v);
      if (self->state.left)
        self->send(self, proceed_atom_v);
      else
        self->quit();
    },
  };
}

double fanin(actor_system& sys) {
  ops -= ops % fanin_senders;
  auto to = sys.spawn(receiver);
  std::vector<actor> all;
  for (uint32_t i = 0; i < fanin_senders; i++)
    all.push_back(sys.spawn(sender, to, ops / fanin_senders));
  auto start = now_ns();
  for (auto& a : all)
    anon_send(a, proceed_atom_v);
  done.wait(false);
  return double(end_ns - start) / 1e9;
}

// spawn: idle actors with 16 bytes of state that each got one message

struct idler_state {
  uint64_t unused = 0;
  uint64_t pokes = 0;
};

behavior idler(stateful_actor<idler_state>* self) {
  return {
    [=](poke_atom) {
      self->state.pokes++;
      if (finished.fetch_add(1, std::memory_order_relaxed) + 1 == ops)
        finish();
    },
  };
}

// From the main thread, which is CAF's best here: spawning from an actor makes one worker's queue long, and a thief
// walks all of it for each steal (0.17), so that a million take minutes.
double spawn(actor_system& sys) {
  std::vector<actor> kept; // else CAF ends unreachable actors
  auto before = rss_now();
  auto start = now_ns();
  kept.reserve(ops);
  for (uint64_t i = 0; i < ops; i++) {
    kept.push_back(sys.spawn(idler));
    anon_send(kept.back(), poke_atom_v);
  }
  done.wait(false);
  rss_per_agent = double(rss_now() - before) / double(ops);
  double seconds = double(end_ns - start) / 1e9;
  new std::vector<actor>(std::move(kept)); // not to be taken down, see main
  return seconds;
}

// churn: waves of actors that answer and end

behavior mayfly(event_based_actor* self) {
  return {
    [=](poke_atom, const actor& to) {
      self->send(to, item_atom_v);
      self->quit();
    },
  };
}

struct driver_state {
  uint64_t done = 0;
};

void wave(stateful_actor<driver_state>* self) {
  for (uint32_t i = 0; i < churn_wave; i++)
    self->send(self->spawn(mayfly), poke_atom_v, actor{self});
}

behavior driver(stateful_actor<driver_state>* self) {
  return {
    [=](proceed_atom) { wave(self); },
    [=](item_atom) {
      if (++self->state.done == ops) {
        finish();
        self->quit();
      } else if (self->state.done % churn_wave == 0)
        wave(self);
    },
  };
}

double churn(actor_system& sys) {
  ops -= ops % churn_wave;
  auto a = sys.spawn(driver);
  auto start = now_ns();
  anon_send(a, proceed_atom_v);
  done.wait(false);
  return double(end_ns - start) / 1e9;
}

// skynet

struct node_state {
  actor parent;
  uint64_t total = 0;
  int waiting = 10;
};

behavior node(stateful_actor<node_state>* self) {
  return {
    [=](grow_atom, const actor& parent, uint64_t first, uint64_t leaves) {
      if (leaves == 1) {
        self->send(parent, sum_atom_v, first);
        self->quit();
        return;
      }
      self->state.parent = parent;
      for (uint64_t i = 0; i < 10; i++)
        self->send(self->spawn(node), grow_atom_v, actor{self}, first + i * (leaves / 10), leaves / 10);
    },
    [=](sum_atom, uint64_t value) {
      self->state.total += value;
      if (--self->state.waiting)
        return;
      if (self->state.parent)
        self->send(self->state.parent, sum_atom_v, self->state.total);
      else {
        finished = self->state.total;
        finish();
      }
      self->quit();
    },
  };
}

double skynet(actor_system& sys) {
  ops = 1111111;
  auto root = sys.spawn(node);
  auto start = now_ns();
  anon_send(root, grow_atom_v, actor{}, uint64_t{0}, uint64_t{1000000});
  done.wait(false);
  if (finished != 499999500000ull) {
    fprintf(stderr, "caf_bench: skynet: wrong sum\n");
    exit(1);
  }
  return double(end_ns - start) / 1e9;
}

// timers: all due at one moment; see bench/timers.c

struct setter_state {
  int64_t due = 0, set = 0;
  uint64_t fired = 0;
  double seconds = 0;
};

double timer_seconds = 0;

behavior setter(stateful_actor<setter_state>* self) {
  return {
    [=](arm_atom) {
      auto start = now_ns();
      self->state.due = start + 3000000000ll;
      for (uint64_t i = 0; i < ops; i++)
        self->delayed_send(self, std::chrono::nanoseconds(self->state.due - now_ns()), due_atom_v);
      self->state.set = now_ns() - start;
    },
    [=](due_atom) {
      if (++self->state.fired < ops)
        return;
      timer_seconds = double(self->state.set + now_ns() - self->state.due) / 1e9;
      finish();
      self->quit();
    },
  };
}

double timers(actor_system& sys) {
  auto a = sys.spawn(setter);
  anon_send(a, arm_atom_v);
  done.wait(false);
  return timer_seconds;
}

// overload: senders that send for as long as there is anything to send, and a slow receiver; see bench/faults.c

void spin() {
  auto start = now_ns();
  while (now_ns() - start < 1000)
    ;
}

behavior toiler(stateful_actor<receiver_state>* self) {
  return {
    [=](item_atom) {
      spin();
      if (++self->state.got == ops) {
        finish();
        self->quit();
      }
    },
  };
}

std::atomic<uint64_t> sent{0};

behavior pusher(event_based_actor* self, actor to) {
  return {
    [=](proceed_atom) {
      uint64_t first = sent.fetch_add(fanin_burst, std::memory_order_relaxed);
      for (uint64_t i = first; i < first + fanin_burst && i < ops; i++)
        self->send(to, item_atom_v);
      if (first + fanin_burst < ops)
        self->send(self, proceed_atom_v);
      else
        self->quit();
    },
  };
}

double overload(actor_system& sys) {
  auto before = now_ns();
  for (uint64_t i = 0; i < ops; i++)
    spin();
  limit = double(ops) * 1e9 / double(now_ns() - before);
  auto to = sys.spawn(toiler);
  std::vector<actor> all;
  for (uint32_t i = 0; i < fanin_senders; i++)
    all.push_back(sys.spawn(pusher, to));
  auto start = now_ns();
  for (auto& a : all)
    anon_send(a, proceed_atom_v);
  done.wait(false);
  return double(end_ns - start) / 1e9;
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
  actor_system_config cfg;
  cfg.set("scheduler.max-threads", workers);
  if (workload == "churn") // here its other scheduler is some 1.7 times faster
    cfg.set("scheduler.policy", "sharing");
  double seconds = 0;
  auto with = [&](uint64_t fallback, auto run) {
    ops = ops ? ops : fallback;
    actor_system sys{cfg};
    seconds = run(sys);
    // The line first: taking a million actors down is not what is measured, and takes CAF its time.
    printf("{\"workload\":\"%s\",\"impl\":\"caf\",\"version\":\"%d.%d.%d\",\"workers\":%u,\"ops\":%llu,"
           "\"seconds\":%.6f,\"ops_per_s\":%.0f",
           workload.c_str(), CAF_VERSION / 10000, CAF_VERSION / 100 % 100, CAF_VERSION % 100, workers,
           static_cast<unsigned long long>(ops), seconds, double(ops) / seconds);
    if (rss_per_agent > 0)
      printf(",\"rss_bytes_per_agent\":%.1f", rss_per_agent);
    if (limit > 0)
      printf(",\"ops_per_s_limit\":%.0f,\"of_limit\":%.4f", limit, double(ops) / seconds / limit);
    printf(",\"peak_rss_bytes\":%llu}\n", static_cast<unsigned long long>(rss_peak()));
    fflush(stdout);
    _exit(0);
  };
  if (workload == "ring")
    with(3000000, [](actor_system& sys) { return round_trip(sys, ring_agents); });
  if (workload == "pingpong")
    with(3000000, [](actor_system& sys) { return round_trip(sys, 2); });
  if (workload == "fanin")
    with(5000000, fanin);
  if (workload == "spawn")
    with(1000000, spawn);
  if (workload == "churn")
    with(500000, churn);
  if (workload == "skynet")
    with(1111111, skynet);
  if (workload == "timers")
    with(1000000, timers);
  if (workload == "overload")
    with(1000000, overload);
  fprintf(stderr, "usage: caf_bench ring|pingpong|fanin|spawn|churn|skynet|timers|overload [--workers N] [--ops N]\n");
  return 2;
}
