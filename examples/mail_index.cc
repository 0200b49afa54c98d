// A small database on top of objects: mails under mail:ID, and beside each an entry of an index, from:SENDER:ID, saved in the
// same batch. What is asked for is found by a listing of keys, also as of a moment in the past; a rollback takes both back
// together.
#include <cairn/cairn.h>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace {

class Mails {
 public:
  explicit Mails(cairn::Timeline timeline) : timeline_(std::move(timeline)) {}

  /// Saves a mail, or another version of it: what the index says of the one before goes in the same batch.
  cairn::Result<cairn::Stamp> save(const std::string& id, const std::string& sender, const std::string& text) {
    CAIRN_TRY(old_sender, sender_of(id));
    cairn::Saves saves;
    if (old_sender && *old_sender != sender) saves.erase("from:" + *old_sender + ":" + id);
    saves.put("mail:" + id, sender + "\n" + text);
    saves.put("from:" + sender + ":" + id, "mail:" + id);
    return timeline_.write(saves);
  }
  cairn::Result<void> erase(const std::string& id) {
    CAIRN_TRY(sender, sender_of(id));
    if (!sender) return {};
    cairn::Saves saves;
    saves.erase("mail:" + id);
    saves.erase("from:" + *sender + ":" + id);
    CAIRN_TRY_VOID(timeline_.write(saves));
    return {};
  }
  /// The ids of the mails of `sender`, in the order in which they were saved; as of `at`.
  cairn::Result<std::vector<std::string>> from(const std::string& sender, cairn::Stamp at) const {
    const std::string prefix = "from:" + sender + ":";
    std::vector<std::string> ids;
    cairn::SaveList keys = timeline_.keys(prefix, cairn::kBeginning, cairn::Stamp{at.value + 1});
    for (const auto entry : keys) ids.emplace_back(entry.key.substr(prefix.size()));
    CAIRN_TRY_VOID(keys.status());
    return ids;
  }

 private:
  cairn::Result<std::optional<std::string>> sender_of(const std::string& id) const {
    const cairn::Result<std::optional<cairn::Pinned>> mail = timeline_.get("mail:" + id);
    CAIRN_TRY_VOID(mail);
    if (!*mail) return std::optional<std::string>();
    const std::string text((*mail)->view());
    return std::optional<std::string>(text.substr(0, text.find('\n')));
  }
  cairn::Timeline timeline_;
};

bool says(const char* what, const std::vector<std::string>& ids, const std::vector<std::string>& expected) {
  std::printf("%s:", what);
  for (const std::string& id : ids) std::printf(" %s", id.c_str());
  std::printf("\n");
  return ids == expected;
}

cairn::Result<bool> run(const char* path) {
  CAIRN_TRY(database, cairn::Database::open(path, {.create_if_missing = true}));
  CAIRN_TRY(timeline, database.timeline("mails"));
  bool good = true;
  {
    Mails mails(timeline);
    const cairn::Stamp now{~std::uint64_t{0} - 1};
    CAIRN_TRY_VOID(mails.save("1", "alice", "hello"));
    CAIRN_TRY_VOID(mails.save("2", "bob", "hello back"));
    CAIRN_TRY(third, mails.save("3", "alice", "how are you?"));
    CAIRN_TRY_VOID(mails.save("1", "carol", "hello, it was me"));
    CAIRN_TRY_VOID(mails.erase("3"));
    CAIRN_TRY(of_alice, mails.from("alice", now));
    good = says("of alice", of_alice, {}) && good;
    CAIRN_TRY(of_carol, mails.from("carol", now));
    good = says("of carol", of_carol, {"1"}) && good;
    CAIRN_TRY(then, mails.from("alice", third));
    good = says("of alice when mail 3 had come", then, {"1", "3"}) && good;
    CAIRN_TRY_VOID(timeline.rollback(third));
    CAIRN_TRY(again, mails.from("alice", now));
    good = says("of alice after a rollback to then", again, {"1", "3"}) && good;
    CAIRN_TRY_VOID(timeline.undo());
    CAIRN_TRY(undone, mails.from("alice", now));
    good = says("of alice after its undo", undone, {}) && good;
  }
  CAIRN_TRY_VOID(database.close());
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const cairn::Result<bool> good = run(argc > 1 ? argv[1] : "mails.data");
  if (!good) std::fprintf(stderr, "%s\n", good.error().to_string().c_str());
  if (good && !*good) std::fprintf(stderr, "the index is wrong\n");
  return good && *good ? 0 : 1;
}
