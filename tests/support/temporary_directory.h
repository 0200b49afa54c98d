// A directory on the real disk for one test.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <string>

namespace cairn::test {

class TemporaryDirectory {
 public:
  /// `in`: another directory than the usual one.
  explicit TemporaryDirectory(const std::string& in = "") {
    const std::filesystem::path parent = in.empty() ? std::filesystem::temp_directory_path() : std::filesystem::path(in);
    std::string pattern = (parent / "cairn-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace cairn::test
