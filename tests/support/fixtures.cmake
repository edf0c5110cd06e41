# lockstep_unpack_fixtures(room archive.tar.xz ...): unpacks archives of tests/fixtures/<room> below
# <build>/fixtures/<room>, at configure time and again when an archive changes. Captures and logs
# are small as one archive and large as files, so the repository carries the archive only.
#
# lockstep_use_fixtures(target room): gives the target the compile definition
# LOCKSTEP_UNPACKED_FIXTURES="<build>/fixtures" (the room's directory is below it).

function(lockstep_unpack_fixtures room)
  set(to ${CMAKE_BINARY_DIR}/fixtures/${room})
  file(MAKE_DIRECTORY ${to})
  foreach(archive IN LISTS ARGN)
    set(from ${CMAKE_SOURCE_DIR}/tests/fixtures/${room}/${archive})
    set(stamp ${to}/.${archive}.sha256)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${from})
    file(SHA256 ${from} wanted)
    set(present "")
    if(EXISTS ${stamp})
      file(READ ${stamp} present)
    endif()
    if(NOT present STREQUAL wanted)
      file(ARCHIVE_EXTRACT INPUT ${from} DESTINATION ${to})
      file(WRITE ${stamp} ${wanted})
    endif()
  endforeach()
endfunction()

function(lockstep_use_fixtures target)
  target_compile_definitions(${target} PRIVATE
                             LOCKSTEP_UNPACKED_FIXTURES="${CMAKE_BINARY_DIR}/fixtures")
endfunction()
