/*
 * A Kronecker graph in memory
 *
 * Edges are computed from their number, once to count the neighbours and once
 * to place them: a list of edges would take as much memory as the graph.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "graph.h"
#include "workload.h"

typedef struct Edge {
    Vertex from;
    Vertex to;
} Edge;

/*
 * Two choices of a quadrant for each number of 16 bits: the row's two bits,
 * and above them the column's. One look-up instead of many comparisons that
 * no processor can predict.
 */
static uint8_t two_choices[1 << 16];

static void make_choices(void)
{
    static const double probability[] = { 0.57, 0.19, 0.19, 0.05 };
    double end = 0;
    unsigned at = 0;

    for (unsigned i = 0; i < 16; i++) {
        unsigned first = i / 4, second = i % 4;

        end += probability[first] * probability[second] * (1 << 16);
        for (; at < end - 0.5; at++) {
            two_choices[at] = first / 2 << 1 | second / 2 |
                              (first % 2 << 1 | second % 2) << 2;
        }
    }
}

static Edge make_edge(const Graph *g, uint64_t number)
{
    const uint64_t key = 0x6b726f6e;
    uint64_t random = mix64(number), bits = 0;
    Vertex from = 0, to = 0;

    for (unsigned i = 0; i < (g->scale + 1) / 2; i++) {
        uint8_t two;

        bits = i % 4 ? bits >> 16 : random_next(&random);
        two = two_choices[bits & 0xffff];
        from = from << 2 | (two & 3);
        to = to << 2 | two >> 2;
    }
    from >>= g->scale % 2;
    to >>= g->scale % 2;
    return (Edge) { shuffle(from, g->scale, key), shuffle(to, g->scale, key) };
}

/* row[v + 1] becomes the number of v's neighbours */
static void count_neighbours(Graph *g)
{
    for (uint64_t i = 0; i < g->edges; i++) {
        Edge e = make_edge(g, i);

        if (e.from != e.to) {
            g->row[e.from + 1]++;
            g->row[e.to + 1]++;
        }
    }
}

/* Uses row[v] as the place for v's next neighbour, and then repairs it */
static void place_neighbours(Graph *g)
{
    for (uint64_t i = 0; i < g->edges; i++) {
        Edge e = make_edge(g, i);

        if (e.from != e.to) {
            g->neighbour[g->row[e.from]++] = e.to;
            g->neighbour[g->row[e.to]++] = e.from;
        }
    }
    memmove(g->row + 1, g->row, g->vertices * sizeof(*g->row));
    g->row[0] = 0;
}

static uint64_t sum_neighbours(const Graph *g)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < g->row[g->vertices]; i++) {
        sum += mix64(i << 32 ^ g->neighbour[i]);
    }
    return sum;
}

void graph_make(Graph *g)
{
    uint64_t row_bytes;

    if (g->scale < 4 || g->scale > 30) {
        die("scale=4 to 30");
    }
    make_choices();
    g->vertices = 1ull << g->scale;
    g->edges = g->edge_factor << g->scale;
    row_bytes = (g->vertices + 1) * sizeof(*g->row);
    g->row = map_memory(row_bytes);
    count_neighbours(g);
    for (Vertex v = 0; v < g->vertices; v++) {
        g->row[v + 1] += g->row[v];
    }
    g->bytes = row_bytes + g->row[g->vertices] * sizeof(*g->neighbour);
    g->neighbour = map_memory(g->bytes - row_bytes);
    place_neighbours(g);
    g->sum = sum_neighbours(g);
}

void graph_verify(const Graph *g)
{
    if (sum_neighbours(g) != g->sum) {
        mismatch("the graph has changed");
    }
}
