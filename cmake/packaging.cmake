# cpack -G DEB: one package that takes the place of drbd-utils.

# A package is made of what was built: cpack does not build the tests first.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lockstep)
set(CPACK_PACKAGE_VENDOR "Lockstep developers")
set(CPACK_PACKAGE_CONTACT "Lockstep developers <root@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONFLICTS drbd-utils)
set(CPACK_DEBIAN_PACKAGE_REPLACES drbd-utils)
set(CPACK_DEBIAN_PACKAGE_PROVIDES drbd-utils)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/conf/package/conffiles
                                       ${CMAKE_SOURCE_DIR}/conf/package/postrm)
install(FILES COPYING README.md ChangeLog DESTINATION ${CMAKE_INSTALL_DOCDIR})
include(CPack)
