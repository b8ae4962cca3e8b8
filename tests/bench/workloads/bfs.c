/*
 * bfs: breadth-first search over a Kronecker graph
 *
 * Measured is the time of searches from roots drawn by lot, together, and the
 * edges of what they have reached in a second (TEPS). After each search, not
 * measured, every vertex reached must be one level below its parent. "check"
 * verifies that the graph has not changed, and, for the last search, that each
 * vertex is its parent's neighbour, that no edge skips a level, and that none
 * leads out of what was reached.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "workload.h"

#define NOT_REACHED UINT64_MAX
#define LEVEL_NONE UINT8_MAX

static Graph graph = { .scale = 20, .edge_factor = 16 };
static uint64_t roots = 2;
static uint64_t first_root;
static uint64_t spoil;

static const Option graph_options[] = {
    { "scale", OPTION_SIZE, &graph.scale,
      "logarithm of the number of vertices" },
    { "edge-factor", OPTION_SIZE, &graph.edge_factor,
      "edges for each vertex" },
    { "spoil", OPTION_SIZE, &spoil,
      "1: change a bit, to see that it is noticed" },
    { }
};

static const Option search_options[] = {
    { "roots", OPTION_SIZE, &roots, "number of searches" },
    { "first-root", OPTION_SIZE, &first_root, "another number, other roots" },
    { }
};

/* The last search. */
static Vertex *parent;
static uint8_t *level;
static Vertex *queue;         /* vertices in the order they are reached */
static uint64_t reached;

static void setup(void)
{
    Vertex vertices;

    graph_make(&graph);
    vertices = graph.vertices;
    parent = map_memory(vertices * sizeof(*parent));
    level = map_memory(vertices * sizeof(*level));
    queue = map_memory(vertices * sizeof(*queue));
    graph.neighbour[graph.row[vertices] / 2] ^= spoil;
    json_count("vertices", vertices);
    json_count("edges", graph.edges);
    json_count("bytes", graph.bytes + vertices * (sizeof(*parent) +
                                                  sizeof(*level) +
                                                  sizeof(*queue)));
}

static void forget_search(void)
{
    memset(parent, 0xff, graph.vertices * sizeof(*parent));
    memset(level, LEVEL_NONE, graph.vertices * sizeof(*level));
    reached = 0;
}

static void reach(Vertex v, Vertex from, uint8_t at)
{
    parent[v] = from;
    level[v] = at;
    queue[reached++] = v;
}

static void search(Vertex root)
{
    reach(root, root, 0);
    for (uint64_t next = 0; next < reached; next++) {
        Vertex v = queue[next];

        for (uint64_t i = graph.row[v]; i < graph.row[v + 1]; i++) {
            Vertex w = graph.neighbour[i];

            if (parent[w] == NOT_REACHED) {
                reach(w, v, level[v] + 1);
            }
        }
    }
}

/* All vertices reached hang together, from the root down */
static void verify_tree(Vertex root)
{
    uint64_t found = 0;

    for (Vertex v = 0; v < graph.vertices; v++) {
        if (parent[v] == NOT_REACHED) {
            continue;
        }
        found++;
        if (v == root ? level[v] != 0
                      : parent[v] >= graph.vertices ||
                        level[v] != level[parent[v]] + 1) {
            mismatch("vertex %llu hangs below %llu",
                     (unsigned long long)v, (unsigned long long)parent[v]);
        }
    }
    if (found != reached) {
        mismatch("%llu vertices have parents, not %llu",
                 (unsigned long long)found, (unsigned long long)reached);
    }
}

/* The edges of a vertex agree with its level, and one is to its parent */
static void verify_edges(Vertex v)
{
    bool to_parent = parent[v] == v || parent[v] == NOT_REACHED;

    for (uint64_t i = graph.row[v]; i < graph.row[v + 1]; i++) {
        Vertex w = graph.neighbour[i];

        if (w >= graph.vertices || abs(level[w] - level[v]) > 1) {
            mismatch("an edge leads from %llu to %llu",
                     (unsigned long long)v, (unsigned long long)w);
        }
        to_parent |= w == parent[v];
    }
    if (!to_parent) {
        mismatch("vertex %llu has no edge to its parent",
                 (unsigned long long)v);
    }
}

static uint64_t edges_reached(void)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < reached; i++) {
        sum += graph.row[queue[i] + 1] - graph.row[queue[i]];
    }
    return sum / 2;
}

/* Graph500 wants roots that have neighbours */
static uint32_t draw_root(uint64_t *random)
{
    Vertex v;

    do {
        v = scale_to(random_next(random), graph.vertices);
    } while (graph.row[v] == graph.row[v + 1]);
    return v;
}

static void run(void)
{
    uint64_t random = first_root, traversed = 0;
    double seconds = 0, start;

    for (unsigned i = 0; i < roots; i++) {
        Vertex root = draw_root(&random);

        forget_search();
        start = now();
        search(root);
        seconds += now() - start;
        verify_tree(root);
        traversed += edges_reached();
    }
    json_rate(traversed, seconds);
    json_real("teps", traversed / seconds);
    json_count("roots", roots);
    json_count("reached", reached);
    json_count("scale", graph.scale);
}

static void check(void)
{
    graph_verify(&graph);
    for (Vertex v = 0; reached && v < graph.vertices; v++) {
        verify_edges(v);
    }
    json_count("reached", reached);
}

int main(int argc, char **argv)
{
    static const Workload workload = {
        .name = "bfs",
        .usage = "bfs [NAME=VALUE]...: search a Kronecker graph",
        .setup_options = { graph_options },
        .run_options = { search_options },
        .setup = setup,
        .run = run,
        .check = check,
    };

    return workload_main(&workload, argc, argv);
}
