# mbedTLS: hashing and TLS, with our own configuration (mbedtls_config.h). Its build files are not
# used: the library is a flat folder of C files, and ours go without Python and its test framework.
file(GLOB crypto "${dep_src}/library/*.c")
set(tls ${crypto})
list(FILTER tls INCLUDE REGEX "/(ssl_|x509|net_sockets|debug|mps_|pkcs7)[a-z0-9_]*\\.c$")
list(REMOVE_ITEM crypto ${tls})

file(COPY "${dep_src}/include/" DESTINATION "${dep_out}/include" FILES_MATCHING PATTERN "*.h")
file(COPY "${CMAKE_CURRENT_SOURCE_DIR}/mbedtls_config.h" DESTINATION "${dep_out}/include/mbedtls")

dep_library(mbedcrypto SOURCES ${crypto})
dep_library(mbedtls SOURCES ${tls})
foreach(lib mbedcrypto mbedtls)
    dep_not_fuzzed(${lib})
    target_include_directories(${lib} PRIVATE "${dep_out}/include" "${dep_src}/library")
endforeach()
