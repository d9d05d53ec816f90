# x86_64: any 64-bit PC or gateway. tools/deps reads the two names below as well.
set(CMAKE_C_COMPILER x86_64-linux-gnu-gcc)
set(BERTH_DEBIAN_ARCH amd64)

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
include("${CMAKE_CURRENT_LIST_DIR}/../../tools/deps/musl.cmake")
