# For a board's toolchain file: its Debian compiler, with musl in place of glibc, makes one static
# program (still loaded at a random address) that runs on any kernel of that architecture.
# BERTH_DEPS, the folder that tools/deps/build prints, holds musl.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES BERTH_DEPS)
if(NOT BERTH_DEPS)
    message(FATAL_ERROR "a board's toolchain file needs -DBERTH_DEPS=DIR, which tools/deps/build prints")
endif()
set(CMAKE_C_FLAGS_INIT "-specs=${BERTH_DEPS}/musl/musl.specs -fPIE")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static-pie")
