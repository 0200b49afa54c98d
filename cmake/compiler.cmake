# Checks that the compiler is new enough, and sets how Cairn's own code is compiled.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

# Compilers that lack C++23 stop here with a sentence, not later with an error in a header.
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_FLAGS -std=c++23)
check_cxx_source_compiles("#include <expected>
int main() { return std::expected<int, int>(0).value(); }" CAIRN_HAS_EXPECTED)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT CAIRN_HAS_EXPECTED)
  message(FATAL_ERROR "Cairn needs C++23 with std::expected: GCC 12 or newer, or clang 19 or newer with the library of GCC 12. "
                      "This is ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} (${CMAKE_CXX_COMPILER}). "
                      "Choose another compiler in a new build directory: -DCMAKE_CXX_COMPILER=g++-12 or clang++-19.")
endif()

if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
  if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
  endif()
  # CMake's own default is -O3; -O2 is what the benchmarks and the counts of instructions are made with.
  if(CMAKE_CXX_FLAGS_RELEASE STREQUAL "-O3 -DNDEBUG")
    set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
  endif()
endif()

add_library(cairn_flags INTERFACE)
target_compile_options(cairn_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers
                       -fno-omit-frame-pointer -fvisibility=hidden)
if(CAIRN_WERROR)
  target_compile_options(cairn_flags INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # The stable_sort of GCC 12's library calls what that library has deprecated.
  target_compile_options(cairn_flags INTERFACE -Wthread-safety -Wthread-safety-beta -Wno-missing-designated-field-initializers
                         -Wno-deprecated-declarations)
endif()
if(CAIRN_SANITIZE)
  target_compile_options(cairn_flags INTERFACE -fsanitize=${CAIRN_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(cairn_flags INTERFACE -fsanitize=${CAIRN_SANITIZE})
  target_compile_definitions(cairn_flags INTERFACE CAIRN_CHECK_RANKS)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 sees uninitialised optionals where instrumentation hides their flag from it.
    target_compile_options(cairn_flags INTERFACE -Wno-maybe-uninitialized)
    if(CAIRN_SANITIZE MATCHES "thread")
      target_compile_options(cairn_flags INTERFACE -Wno-tsan)
    endif()
  endif()
endif()

# ccache keeps objects that use a precompiled header only with these two settings, and with GCC only with the option.
find_program(CAIRN_CCACHE ccache)
if(CAIRN_CCACHE AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CAIRN_CCACHE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(cairn_flags INTERFACE -fpch-preprocess)
  endif()
endif()
find_program(CAIRN_MOLD mold)
if(CAIRN_MOLD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND PROJECT_IS_TOP_LEVEL)
  add_link_options(-fuse-ld=mold)
endif()
find_program(CAIRN_LLD ld.lld-19)
if(CAIRN_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND PROJECT_IS_TOP_LEVEL)
  add_link_options(-fuse-ld=lld-19)
endif()
