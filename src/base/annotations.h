// Clang thread-safety annotations; nothing under GCC.
#pragma once
#if defined(__clang__)
#define CAIRN_ANNOTATION(x) __attribute__((x))
#else
#define CAIRN_ANNOTATION(x)
#endif
#define CAIRN_CAPABILITY(x) CAIRN_ANNOTATION(capability(x))
#define CAIRN_SCOPED_CAPABILITY CAIRN_ANNOTATION(scoped_lockable)
#define CAIRN_GUARDED_BY(x) CAIRN_ANNOTATION(guarded_by(x))
#define CAIRN_REQUIRES(...) CAIRN_ANNOTATION(requires_capability(__VA_ARGS__))
#define CAIRN_EXCLUDES(...) CAIRN_ANNOTATION(locks_excluded(__VA_ARGS__))
#define CAIRN_ACQUIRE(...) CAIRN_ANNOTATION(acquire_capability(__VA_ARGS__))
#define CAIRN_TRY_ACQUIRE(...) CAIRN_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define CAIRN_RELEASE(...) CAIRN_ANNOTATION(release_capability(__VA_ARGS__))
#define CAIRN_ACQUIRED_BEFORE(...) CAIRN_ANNOTATION(acquired_before(__VA_ARGS__))
/// For a function whose locking depends on a condition, which the analysis does not follow. Its annotations hold for its callers.
#define CAIRN_NO_THREAD_SAFETY_ANALYSIS CAIRN_ANNOTATION(no_thread_safety_analysis)
