/* A program that needs a function that nobody has. */
int weft_test_nobody_has_this(void);

int main(void)
{
    return weft_test_nobody_has_this();
}
