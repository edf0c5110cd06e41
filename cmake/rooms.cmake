# A room is one directory of the house and one target. Its headers are seen by others as
# "kernel/format/superblock.hpp", and only by rooms that name it under DEPENDS: each room has an
# include directory of its own, in which nothing but that room can be found. A forbidden include
# therefore does not compile.

function(lockstep_room_target path out)
  string(REPLACE "/" "_" target ${path})
  set(${out} ${target} PARENT_SCOPE)
endfunction()

function(lockstep_room_include path out)
  set(root ${CMAKE_BINARY_DIR}/rooms/${path})
  get_filename_component(parent ${root}/${path} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${path} ${root}/${path} SYMBOLIC)
  set(${out} ${root} PARENT_SCOPE)
endfunction()

# lockstep_room(kernel/format SOURCES a.cpp DEPENDS kernel/base LIBRARIES fmt::fmt [PRIVATE ...])
# makes the library target kernel_format. LIBRARIES are what its headers need too, PRIVATE what
# only its sources need.
function(lockstep_room path)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPENDS;LIBRARIES;PRIVATE" ${ARGN})
  lockstep_room_target(${path} target)
  lockstep_room_include(${path} include)
  if(ROOM_SOURCES)
    add_library(${target} STATIC ${ROOM_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(${target} PRIVATE ${ROOM_PRIVATE})
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${include})
  foreach(dependency IN LISTS ROOM_DEPENDS)
    lockstep_room_target(${dependency} needed)
    target_link_libraries(${target} ${scope} ${needed})
  endforeach()
  target_link_libraries(${target} ${scope} ${ROOM_LIBRARIES})
endfunction()

# lockstep_test(name SOURCES a.cpp DEPENDS kernel/format LIBRARIES ... LABELS unit)
# makes a CMocka program and registers it with ctest. Fixtures are found below
# LOCKSTEP_FIXTURES (a compile definition).
function(lockstep_test name)
  cmake_parse_arguments(TEST "" "" "SOURCES;DEPENDS;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  foreach(dependency IN LISTS TEST_DEPENDS)
    lockstep_room_target(${dependency} needed)
    target_link_libraries(${name} PRIVATE ${needed})
  endforeach()
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE cmocka ${TEST_LIBRARIES})
  target_compile_definitions(${name} PRIVATE LOCKSTEP_FIXTURES="${CMAKE_SOURCE_DIR}/tests/fixtures")
  add_test(NAME ${name} COMMAND ${name})
  if(NOT TEST_LABELS)
    set(TEST_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${TEST_LABELS}"
                       ENVIRONMENT "CMOCKA_MESSAGE_OUTPUT=TAP" TIMEOUT 120)
endfunction()

# lockstep_fuzz(name SOURCES x.cpp DEPENDS kernel/wire): a libFuzzer target, in the fuzz preset only.
function(lockstep_fuzz name)
  if(NOT LOCKSTEP_FUZZ)
    return()
  endif()
  cmake_parse_arguments(FUZZ "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  add_executable(${name} ${FUZZ_SOURCES})
  foreach(dependency IN LISTS FUZZ_DEPENDS)
    lockstep_room_target(${dependency} needed)
    target_link_libraries(${name} PRIVATE ${needed})
  endforeach()
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${FUZZ_LIBRARIES})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  set_property(GLOBAL APPEND PROPERTY LOCKSTEP_FUZZERS ${name})
endfunction()
