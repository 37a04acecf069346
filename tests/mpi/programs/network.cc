// A C++ code of realistic size: a random network whose nodes are spread over the ranks, searched in
// breadth and ranked, with containers, exceptions, streams and derived datatypes all the way.
//
// Nodes are objects behind unique_ptr in a map by number; edges to nodes of other ranks become
// messages, which are serialised into strings, or sent as indexed types straight out of a vector.
// Communicators are duplicated with attributes that C++ code deletes. What goes wrong on purpose is
// thrown through functions that communicate while the stack unwinds. Prints a line for each rank,
// the same for every placement.
//
// Arguments: rounds (default 6).
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <mpi.h>

namespace
{

constexpr int nodes_per_rank = 120, edges_per_node = 4, tag_frontier = 3, tag_rank = 4;

struct World {
    MPI_Comm comm = MPI_COMM_NULL;
    int rank = 0, size = 0;
};

// Ends with a barrier even when it is left by an exception: all ranks throw together.
class Phase
{
  public:
    Phase(const World &world, std::string name) : world_(world), name_(std::move(name))
    {
    }
    ~Phase()
    {
        int mine = static_cast<int>(name_.size()), sum = 0;
        MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, world_.comm);
        ended += sum;
    }
    Phase(const Phase &) = delete;
    Phase &operator=(const Phase &) = delete;
    static inline long ended = 0;

  private:
    const World &world_;
    std::string name_;
};

class Node
{
  public:
    explicit Node(int number) : number_(number)
    {
    }
    virtual ~Node() = default;
    virtual double weight() const
    {
        return 1.0;
    }
    int number() const
    {
        return number_;
    }
    std::vector<int> edges;
    int depth = -1;
    double score = 1.0, next = 0.0;

  private:
    int number_;
};

class Hub : public Node
{
  public:
    using Node::Node;
    double weight() const override
    {
        return 2.0 + static_cast<double>(edges.size()) / 8;
    }
};

class Network
{
  public:
    explicit Network(const World &world) : world_(world)
    {
        std::mt19937_64 random(static_cast<unsigned>(world.rank) + 17);
        int all = nodes_per_rank * world.size;
        for (int i = 0; i < nodes_per_rank; i++) {
            int number = world.rank * nodes_per_rank + i;
            auto node =
                number % 11 == 0 ? std::make_unique<Hub>(number) : std::make_unique<Node>(number);
            std::set<int> ends;
            while (ends.size() < edges_per_node)
                ends.insert(static_cast<int>(random() % static_cast<unsigned>(all)));
            ends.erase(number);
            node->edges.assign(ends.begin(), ends.end());
            nodes_.emplace(number, std::move(node));
        }
    }
    int owner(int number) const
    {
        return number / nodes_per_rank;
    }
    Node &node(int number)
    {
        auto found = nodes_.find(number);
        if (found == nodes_.end())
            throw std::out_of_range("node " + std::to_string(number) + " is not of rank " +
                                    std::to_string(world_.rank));
        return *found->second;
    }
    int search(int root);
    void rank_once();
    std::uint64_t hash() const;

  private:
    std::vector<int> exchange(const std::vector<std::set<int>> &wanted);
    const World &world_;
    std::map<int, std::unique_ptr<Node>> nodes_;
};

std::string write(const std::set<int> &numbers)
{
    std::ostringstream out;
    out << numbers.size();
    for (int number : numbers)
        out << ' ' << std::hex << number << std::dec;
    return out.str();
}

void read(const std::string &text, std::vector<int> &into)
{
    std::istringstream in(text);
    std::size_t n;
    if (!(in >> n))
        throw std::runtime_error("not a list: " + text);
    for (int number; n > 0 && in >> std::hex >> number; n--)
        into.push_back(number);
}

// What other ranks want of us, as text whose length nobody knows before.
std::vector<int> Network::exchange(const std::vector<std::set<int>> &wanted)
{
    std::vector<std::string> texts;
    std::vector<MPI_Request> requests(wanted.size(), MPI_REQUEST_NULL);
    std::vector<int> got, done(wanted.size());
    std::transform(wanted.begin(), wanted.end(), std::back_inserter(texts), write);
    for (int r = 0; r < world_.size; r++)
        MPI_Isend(texts[r].data(), static_cast<int>(texts[r].size()), MPI_CHAR, r, tag_frontier,
                  world_.comm, &requests[r]);
    for (int r = 0; r < world_.size; r++) {
        MPI_Status status;
        int len;
        MPI_Probe(r, tag_frontier, world_.comm, &status);
        MPI_Get_count(&status, MPI_CHAR, &len);
        std::string text(static_cast<std::size_t>(len), '?');
        MPI_Recv(text.data(), len, MPI_CHAR, r, tag_frontier, world_.comm, MPI_STATUS_IGNORE);
        read(text, got);
    }
    for (int left = static_cast<int>(requests.size()); left > 0;) {
        int n;
        MPI_Waitsome(static_cast<int>(requests.size()), requests.data(), &n, done.data(),
                     MPI_STATUSES_IGNORE);
        left -= n;
    }
    return got;
}

// Breadth first from a node; returns how many have been reached in all.
int Network::search(int root)
{
    std::deque<int> frontier;
    int reached = 0, depth = 0, mine, all;
    for (auto &[number, node] : nodes_)
        node->depth = -1;
    if (owner(root) == world_.rank)
        frontier.push_back(root);
    do {
        std::vector<std::set<int>> wanted(static_cast<std::size_t>(world_.size));
        while (!frontier.empty()) {
            Node &at = node(frontier.front());
            frontier.pop_front();
            if (at.depth >= 0)
                continue;
            at.depth = depth;
            reached++;
            for (int end : at.edges)
                wanted[static_cast<std::size_t>(owner(end))].insert(end);
        }
        for (int number : exchange(wanted))
            if (node(number).depth < 0)
                frontier.push_back(number);
        depth++;
        mine = static_cast<int>(frontier.size());
        MPI_Request request;
        MPI_Iallreduce(&mine, &all, 1, MPI_INT, MPI_SUM, world_.comm, &request);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
    } while (all > 0);
    MPI_Allreduce(MPI_IN_PLACE, &reached, 1, MPI_INT, MPI_SUM, world_.comm);
    return reached;
}

// One round of ranking: shares go to the owners of the ends, picked out of one dense vector by an
// indexed type for each owner.
void Network::rank_once()
{
    std::unordered_map<int, double> shares;
    for (auto &[number, node] : nodes_)
        for (int end : node->edges)
            shares[end] +=
                node->score * node->weight() / static_cast<double>(node->edges.size() + 1);
    std::vector<double> dense(static_cast<std::size_t>(nodes_per_rank * world_.size), 0.0);
    for (auto [end, share] : shares)
        dense[static_cast<std::size_t>(end)] = share;
    std::vector<MPI_Request> requests;
    for (int r = 0; r < world_.size; r++) {
        std::vector<int> lengths, at;
        for (int i = r * nodes_per_rank; i < (r + 1) * nodes_per_rank; i += 3) {
            lengths.push_back(std::min(3, (r + 1) * nodes_per_rank - i));
            at.push_back(i);
        }
        MPI_Datatype picked;
        MPI_Type_indexed(static_cast<int>(at.size()), lengths.data(), at.data(), MPI_DOUBLE,
                         &picked);
        MPI_Type_commit(&picked);
        MPI_Isend(dense.data(), 1, picked, r, tag_rank, world_.comm, &requests.emplace_back());
        MPI_Type_free(&picked); // the message still has it
    }
    std::vector<double> sums(nodes_per_rank, 0.0), part(nodes_per_rank);
    for (int r = 0; r < world_.size; r++) { // in this order, for the same bits everywhere
        MPI_Recv(part.data(), nodes_per_rank, MPI_DOUBLE, r, tag_rank, world_.comm,
                 MPI_STATUS_IGNORE);
        std::transform(sums.begin(), sums.end(), part.begin(), sums.begin(), std::plus<>());
    }
    MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
    double total = std::accumulate(sums.begin(), sums.end(), 0.0);
    MPI_Allreduce(MPI_IN_PLACE, &total, 1, MPI_DOUBLE, MPI_SUM, world_.comm);
    std::size_t i = 0;
    for (auto &[number, node] : nodes_)
        node->score = 0.15 + 0.85 * sums[i++] / total * nodes_per_rank;
}

std::uint64_t Network::hash() const
{
    std::uint64_t hash = 14695981039346656037u;
    for (auto &[number, node] : nodes_) {
        std::ostringstream text;
        text << number << ':' << node->depth << ':' << std::setprecision(17) << node->score;
        for (char c : text.str())
            hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    }
    return hash;
}

int deleted;

int delete_text(MPI_Comm, int, void *value, void *)
{
    deleted++;
    delete static_cast<std::string *>(value);
    return MPI_SUCCESS;
}

int copy_text(MPI_Comm, int, void *, void *value, void *out, int *flag)
{
    *static_cast<std::string **>(out) = new std::string(*static_cast<std::string *>(value) + "'");
    *flag = 1;
    return MPI_SUCCESS;
}

// Asks for a node that is not there, deep down, and comes back by the exception.
long dig(Network &network, const World &world, int depth)
{
    Phase phase(world, "dig" + std::to_string(depth));
    if (depth > 0)
        return dig(network, world, depth - 1) + 1;
    return network.node(-1).number();
}

std::string go_wrong(Network &network, const World &world, int round)
{
    try {
        (void)dig(network, world, 3 + round % 3);
    } catch (const std::out_of_range &error) {
        int all = 0, mine = world.rank;
        MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MAX, world.comm); // inside the handler
        return std::string(error.what()) + "/" + std::to_string(all);
    }
    return "nothing was thrown";
}

} // namespace

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    int rounds = argc > 1 ? std::atoi(argv[1]) : 6, keyval;
    World world;
    MPI_Comm_create_keyval(copy_text, delete_text, &keyval, nullptr);
    MPI_Comm_set_attr(MPI_COMM_WORLD, keyval, new std::string("text"));
    MPI_Comm_dup(MPI_COMM_WORLD, &world.comm);
    MPI_Comm_rank(world.comm, &world.rank);
    MPI_Comm_size(world.comm, &world.size);
    Network network(world);
    std::vector<int> reached;
    std::string wrong;
    for (int round = 0; round < rounds; round++) {
        Phase phase(world, "round");
        reached.push_back(network.search(round * 37 % (nodes_per_rank * world.size)));
        network.rank_once();
        wrong = go_wrong(network, world, round);
        MPI_Comm again;
        MPI_Comm_dup(world.comm, &again);
        MPI_Comm_free(&again);
    }
    std::string *text = nullptr;
    int found;
    MPI_Comm_get_attr(world.comm, keyval, &text, &found);
    std::ostringstream line;
    line << "rank " << world.rank << ": hash " << std::hex << network.hash() << std::dec
         << ", reached";
    for (int n : reached)
        line << ' ' << n;
    line << ", " << (found ? *text : "no attribute") << ", deleted " << deleted << ", phases "
         << Phase::ended << ", " << wrong << '\n';
    std::cout << line.str() << std::flush;
    MPI_Comm_free(&world.comm);
    MPI_Comm_delete_attr(MPI_COMM_WORLD, keyval);
    MPI_Comm_free_keyval(&keyval);
    MPI_Finalize();
    return 0;
}
