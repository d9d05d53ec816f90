# yyjson: JSON.
dep_library(yyjson SOURCES "${dep_src}/src/yyjson.c" HEADERS "${dep_src}/src/yyjson.h")
