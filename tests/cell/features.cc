// What C++ programs do, around calls of MPI at which the rank may be moved. Arguments: rounds; or
// 0, and a file: as many as until it exists.
#include <algorithm>
#include <cstdint>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <locale>
#include <map>
#include <memory>
#include <mpi.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

static int world_rank, world_size;
static std::uint64_t checksum = 1;

static void meet()
{
    std::uint64_t mine = checksum, all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    checksum = (checksum ^ all) * UINT64_C(1099511628211);
}

static void fail(const char *what)
{
    std::cout << "rank " << world_rank << ": " << what << " is broken" << std::endl;
    MPI_Abort(MPI_COMM_WORLD, 3);
}

struct Counted {
    static int alive;
    Counted()
    {
        alive++;
    }
    ~Counted()
    {
        alive--;
    }
};
int Counted::alive = 0;
static std::string made_before_main("a string that is longer than the small ones are");

struct Meets {
    ~Meets()
    {
        meet();
    } // while an exception is on its way
};

static void throw_deep(int n)
{
    Counted here;
    Meets now_and_then;
    if (n == 0)
        throw std::runtime_error("from far below");
    throw_deep(n - 1);
}

static void exceptions()
{
    std::exception_ptr kept;
    try {
        throw_deep(10);
    } catch (const std::exception &e) {
        meet();
        if (std::string(e.what()) != "from far below" || Counted::alive != 0)
            fail("an exception");
        kept = std::current_exception();
    }
    meet();
    try {
        std::rethrow_exception(kept);
    } catch (const std::runtime_error &) {
    } catch (...) {
        fail("a kept exception");
    }
}

struct Shape {
    virtual ~Shape() = default;
    virtual int sides() const = 0;
};
struct Triangle : Shape {
    int sides() const override
    {
        return 3;
    }
};
struct Square : Shape {
    int sides() const override
    {
        return 4;
    }
};

static void containers(int round)
{
    std::map<std::string, std::vector<int>> map;
    std::vector<std::unique_ptr<Shape>> shapes;
    for (int i = 0; i < 100; i++) {
        map["key " + std::to_string(i)].push_back(i * round);
        if (i % 2)
            shapes.push_back(std::make_unique<Square>());
        else
            shapes.push_back(std::make_unique<Triangle>());
        if (i % 40 == 0)
            meet();
    }
    std::function<int(int)> add = [&](int n) { return n + shapes[1]->sides(); };
    meet();
    if (add(1) != 5 || typeid(*shapes[0]) != typeid(Triangle) || map.at("key 9")[0] != 9 * round ||
        dynamic_cast<Square *>(shapes[0].get()))
        fail("a container, a closure or a type");
}

static void streams()
{
    std::ostringstream out;
    out.precision(17);
    out << std::boolalpha << true << ' ' << 1.5;
    meet();
    out << ' ' << 42 << ' ' << made_before_main.size();
    std::istringstream in(out.str());
    std::string word;
    double number = 0;
    in >> word >> number;
    meet();
    if (word != "true" || number != 1.5 || !std::isalpha('a', std::locale()))
        fail("a stream");
}

static bool is_to_end(const char *path)
{
    int end = world_rank == 0 && std::ifstream(path).good();
    MPI_Bcast(&end, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return end;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    int rounds = argc > 1 ? std::stoi(argv[1]) : 1, i;
    for (i = 0; rounds ? i < rounds : !is_to_end(argv[2]); i++) {
        exceptions();
        containers(i);
        streams();
    }
    std::cout << "rank " << world_rank << " of " << world_size << ": " << std::hex << checksum
              << std::dec << " after " << i << " rounds" << std::endl;
    MPI_Finalize();
    return 0;
}
