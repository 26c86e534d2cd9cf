#include "ahead.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace torchcrate {

namespace {

constexpr std::size_t kAhead = std::size_t{1} << 20;  // bytes a piece may say before its turn

/// The pieces under way, and whose turn it is.
class Order {
 public:
  Order(std::size_t threads, const Tasks& tasks) : threads_(threads), tasks_(tasks) {}

  /// Takes and answers pieces until there is none left, or another thread has failed.
  void work() {
    Piece piece;
    std::optional<std::size_t> turn = take(piece, true);
    while (turn) {
      std::exception_ptr problem;
      try {
        tasks_.answer(piece, [&](Said said) { say(*turn, std::move(said)); });
      } catch (...) {
        problem = std::current_exception();
      }
      finish(*turn, problem);
      turn = take(piece, false);
    }
  }

  /// Waits for the other threads.
  /// @throws what the first piece that failed threw.
  void join() {
    for (;;) {
      std::thread thread;
      {
        const std::lock_guard lock(mutex_);
        if (crew_.empty()) break;
        thread = std::move(crew_.back());
        crew_.pop_back();
      }
      thread.join();
    }
    if (problem_) std::rethrow_exception(problem_);
  }

 private:
  /// A piece that was taken and is not yet delivered whole.
  struct Entry {
    std::vector<Said> said;
    std::size_t size = 0;
    bool done = false;
    std::exception_ptr problem;
  };

  /// Fills the next piece and returns its turn; nothing when it is time to end.
  /// @param first  whether this thread has taken none before.
  std::optional<std::size_t> take(Piece& piece, bool first) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return over_ || entries_.size() < 2 * threads_; });
    if (over_) return {};
    piece.clear();
    const std::size_t turn = turn_ + entries_.size();
    std::exception_ptr problem;
    try {
      over_ = !tasks_.take(piece);
    } catch (...) {
      problem = std::current_exception();
      over_ = true;
    }
    if (problem) {  // in the place of the piece that was not to be had
      entries_.emplace_back();
      end(turn, problem);
    }
    if (over_) {
      changed_.notify_all();
      return {};
    }
    entries_.emplace_back();
    if (first && crew_.size() + 1 < threads_) start();
    return turn;
  }

  void start() {
    try {
      crew_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      // The system gives no more threads: those that there are do all.
    }
  }

  void say(std::size_t turn, Said said) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return problem_ || turn == turn_ || entry(turn).size < kAhead; });
    if (problem_) return;
    if (turn == turn_) {
      tasks_.deliver(said);
    } else {
      entry(turn).size += said.out.size() + said.err.size();
      entry(turn).said.push_back(std::move(said));
    }
  }

  void finish(std::size_t turn, std::exception_ptr problem) {
    const std::lock_guard lock(mutex_);
    if (!problem_) end(turn, std::move(problem));
  }

  /// Notes that a piece is done, and delivers what has its turn now. The mutex is held.
  void end(std::size_t turn, std::exception_ptr problem) {
    if (problem) over_ = true;
    entry(turn).done = true;
    entry(turn).problem = std::move(problem);
    try {
      while (!entries_.empty() && !problem_) {
        Entry& now = entries_.front();
        for (const Said& said : std::exchange(now.said, {})) tasks_.deliver(said);
        if (!now.done) break;
        problem_ = now.problem;
        entries_.pop_front();
        ++turn_;
      }
    } catch (...) {
      problem_ = std::current_exception();
    }
    if (problem_) over_ = true;
    changed_.notify_all();
  }

  [[nodiscard]] Entry& entry(std::size_t turn) { return entries_[turn - turn_]; }

  const std::size_t threads_;
  const Tasks& tasks_;
  std::mutex mutex_;  ///< of all below
  std::condition_variable changed_;
  std::deque<Entry> entries_;  ///< the first has the turn `turn_`
  std::size_t turn_ = 0;
  bool over_ = false;           ///< nothing is to be taken any more
  std::exception_ptr problem_;  ///< what ends it all
  std::vector<std::thread> crew_;
};

}  // namespace

void in_order(std::size_t threads, const Tasks& tasks) {
  Order order(threads, tasks);
  order.work();
  order.join();
}

}  // namespace torchcrate
