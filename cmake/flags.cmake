# How everything of ours is compiled.
add_library(cairn_flags INTERFACE)
target_compile_options(cairn_flags INTERFACE -Wall -Wextra -Wpedantic -Werror -Wshadow -Wno-missing-field-initializers
                       -fno-omit-frame-pointer)
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

find_program(CAIRN_CCACHE ccache)
if(CAIRN_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CAIRN_CCACHE})
endif()
find_program(CAIRN_MOLD mold)
if(CAIRN_MOLD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_link_options(-fuse-ld=mold)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_link_options(-fuse-ld=lld-19)
endif()
