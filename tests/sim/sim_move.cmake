# The simulation of moves as a library, for the tests and for the benchmark of its speed.
include_guard(GLOBAL)
set(weft_sim_move_sources sim_world.c sim_home.c sim_move.c sim_registry.c sim_traffic.c sim_fault.c sim_check.c
                          sim_wire.c sim_queue.c sim_stats.c sim_pages.c net.c)
list(TRANSFORM weft_sim_move_sources PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
# The real keys and bytes of moves, on a registry client that the simulation provides.
add_library(weft_sim_move STATIC ${weft_sim_move_sources} ${PROJECT_SOURCE_DIR}/src/host/keys.c
                                 ${PROJECT_SOURCE_DIR}/src/host/move_wire.c)
target_include_directories(weft_sim_move PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(weft_sim_move PUBLIC weft_flags weft_plan weft_group weft_tp_fault weft_tp_inproc)
