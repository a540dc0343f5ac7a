// The part of PyTorch's c10d that the engine uses, as C functions.
//
// Each function that can fail returns null, or a message that `collectives_free_text` frees. An exception never
// leaves a function. Tensors are `at::Tensor*`, as in torch-sys.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

struct Meeting {
  c10::intrusive_ptr<c10d::TCPStore> store;
};
struct Group {
  c10::intrusive_ptr<c10d::Backend> backend;
};
struct Pending {
  c10::intrusive_ptr<c10d::Work> work;
};

namespace {

char* copy(const char* text) {
  char* copied = strdup(text);
  if (copied == nullptr) abort();  // Null would mean that all is well.
  return copied;
}

template <class Body>
char* attempt(Body body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return copy(error.what());
  } catch (...) {
    return copy("an exception of an unknown type");
  }
}

at::Tensor& tensor(void* pointer) {
  return *static_cast<at::Tensor*>(pointer);
}

}  // namespace

extern "C" {

// Opens the place where ranks meet, as its server or as a client. Port 0 lets the system choose one.
char* collectives_meeting(const char* host, uint16_t port, bool serves, int64_t timeout_ms, Meeting** out,
                          uint16_t* bound) {
  return attempt([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    *bound = store->getPort();
    *out = new Meeting{store};
  });
}

void collectives_free_meeting(Meeting* meeting) {
  delete meeting;
}

// Joins a group over TCP between processors. `name` keeps the keys of groups at one meeting apart.
char* collectives_gloo(Meeting* meeting, const char* name, const char* host, int rank, int size, int64_t timeout_ms,
                       Group** out) {
  return attempt([&] {
    auto options = c10d::ProcessGroupGloo::Options::create(std::chrono::milliseconds(timeout_ms));
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(host, false));
    auto store = c10::make_intrusive<c10d::PrefixStore>(name, meeting->store);
    *out = new Group{c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options)};
  });
}

void collectives_free_group(Group* group) {
  delete group;
}

char* collectives_broadcast(Group* group, void* values, int root, Pending** out) {
  return attempt([&] {
    std::vector<at::Tensor> tensors{tensor(values)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    *out = new Pending{group->backend->broadcast(tensors, options)};
  });
}

char* collectives_all_gather(Group* group, void* all, void* part, Pending** out) {
  return attempt([&] { *out = new Pending{group->backend->_allgather_base(tensor(all), tensor(part))}; });
}

char* collectives_all_to_all(Group* group, void* received, void* sent, Pending** out) {
  return attempt([&] {
    std::vector<int64_t> equal;
    *out = new Pending{group->backend->alltoall_base(tensor(received), tensor(sent), equal, equal)};
  });
}

char* collectives_barrier(Group* group, Pending** out) {
  return attempt([&] { *out = new Pending{group->backend->barrier()}; });
}

// Waits for the end of an operation, and frees it in any case.
char* collectives_wait(Pending* pending) {
  char* message = attempt([&] { pending->work->wait(); });
  delete pending;
  return message;
}

void collectives_free_text(char* text) {
  free(text);
}

}  // extern "C"
