# What `cmake --install` gives: headers, both libraries, soma.pc and the CMake package.
include(CMakePackageConfigHelpers)
set_target_properties(soma_shared PROPERTIES EXPORT_NAME soma)
set_target_properties(soma_static PROPERTIES EXPORT_NAME soma-static)
set_target_properties(soma_test PROPERTIES EXPORT_NAME soma-test)
install(TARGETS soma_shared soma_static soma_test EXPORT SomaTargets)
install(DIRECTORY include/soma DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Soma)
install(EXPORT SomaTargets NAMESPACE Soma:: DESTINATION ${package_dir})
configure_package_config_file(cmake/SomaConfig.cmake.in SomaConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(SomaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/SomaConfig.cmake ${PROJECT_BINARY_DIR}/SomaConfigVersion.cmake
        DESTINATION ${package_dir})
# soma.pc finds the prefix from where it stands, as `cmake --install --prefix` may put it anywhere.
file(RELATIVE_PATH SOMA_PREFIX_FROM_PC /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/soma.pc.in soma.pc @ONLY)
configure_file(cmake/soma_test.pc.in soma_test.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/soma.pc ${PROJECT_BINARY_DIR}/soma_test.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
