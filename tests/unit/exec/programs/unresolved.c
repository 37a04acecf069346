/* Calls a function that nobody has. */
int this_function_is_nowhere(void);

int main(void)
{
    return this_function_is_nowhere();
}
