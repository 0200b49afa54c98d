#include "bench/measure.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "bench/value_of.h"

namespace cairn::bench {

nlohmann::ordered_json in_child(const std::function<std::string()>& work) {
  int ends[2];
  if (pipe(ends) != 0) give_up("no pipe");
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    const std::string text = work();
    if (write(ends[1], text.data(), text.size()) != static_cast<ssize_t>(text.size())) _exit(1);
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) give_up("a store under test ended with an error");
  return nlohmann::ordered_json::parse(text);
}

void limit_memory(std::uint64_t bytes) {
  const std::filesystem::path base = "/sys/fs/cgroup";
  const bool unified = std::filesystem::exists(base / "cgroup.controllers");
  const std::filesystem::path group = (unified ? base : base / "memory") / "cairn-bench";
  std::error_code ignored;
  std::filesystem::create_directory(group, ignored);
  std::ofstream(group / (unified ? "memory.max" : "memory.limit_in_bytes")) << bytes;
  std::ofstream joined(group / "cgroup.procs");
  joined << getpid() << std::flush;
  if (!joined) give_up("the memory of a process cannot be limited here: " + group.string());
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void reset_peak_rss() { std::ofstream("/proc/self/clear_refs") << "5"; }

namespace {
std::uint64_t number_in(const char* file, const std::string& line) {
  std::ifstream lines(file);
  for (std::string name; lines >> name;) {
    std::uint64_t number = 0;
    if (name == line + ":" && lines >> number) return number;
    std::getline(lines, name);
  }
  return 0;
}
}  // namespace

std::uint64_t status_number(const std::string& line) { return number_in("/proc/self/status", line); }
std::uint64_t written_bytes() { return number_in("/proc/self/io", "write_bytes"); }

std::uint64_t disk_bytes(const std::string& dir) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    struct stat info{};
    if (stat(entry.path().c_str(), &info) == 0 && S_ISREG(info.st_mode))
      bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
  }
  return bytes;
}

}  // namespace cairn::bench
