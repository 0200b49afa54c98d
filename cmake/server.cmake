# cairn_server: everything behind `cairn serve`.
if(Boost_VERSION VERSION_LESS 1.81)
  message(FATAL_ERROR "The server needs Boost 1.81 or newer (Asio, Beast, URL); this is ${Boost_VERSION}. "
                      "Install libboost1.81-dev, or configure with -DCAIRN_SERVER=OFF.")
endif()
find_package(Boost 1.81 REQUIRED COMPONENTS url)
find_package(spdlog REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(prometheus-cpp REQUIRED)
pkg_check_modules(CAIRN_SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
find_library(CAIRN_LZF NAMES lzf REQUIRED)
find_path(CAIRN_LZF_INCLUDE NAMES lzf.h PATH_SUFFIXES liblzf REQUIRED)
find_library(CAIRN_LUA NAMES lua5.1-c++ REQUIRED)
file(GLOB SERVER_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/server/*.cc)
cairn_part(cairn_server ${SERVER_SOURCES})
target_include_directories(cairn_server PRIVATE ${CAIRN_LZF_INCLUDE})
target_compile_definitions(cairn_server PRIVATE CAIRN_VERSION="${PROJECT_VERSION}")
target_link_libraries(cairn_server PUBLIC cairn_text Boost::url spdlog::spdlog OpenSSL::SSL prometheus-cpp::core PkgConfig::CAIRN_SYSTEMD
                                          ${CAIRN_LZF} ${CAIRN_LUA})
