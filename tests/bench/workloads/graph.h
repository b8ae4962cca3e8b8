/*
 * A Kronecker graph in memory
 *
 * It is made as Graph500 says: 2^scale vertices, edge-factor times as many
 * edges, each drawn by choosing one of four quadrants of the adjacency matrix
 * scale times with probabilities of 0.57, 0.19, 0.19 and 0.05, and the
 * vertices renumbered by lot. It is kept as rows of neighbours (CSR), in both
 * directions, without loops.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef BENCH_GRAPH_H
#define BENCH_GRAPH_H

#include <stdint.h>

/* As wide as for a graph of any size. */
typedef uint64_t Vertex;

typedef struct Graph {
    uint64_t scale;
    uint64_t edge_factor;
    Vertex vertices;
    uint64_t edges;             /* drawn, with the loops */
    uint64_t *row;              /* where each vertex's neighbours begin */
    Vertex *neighbour;          /* row[vertices] of them */
    uint64_t bytes;
    uint64_t sum;               /* of all neighbours */
} Graph;

/* Make a graph of a scale and edge factor. */
void graph_make(Graph *g);

/* End the program unless the neighbours are what they were. */
void graph_verify(const Graph *g);

#endif
