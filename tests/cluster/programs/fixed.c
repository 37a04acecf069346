/* An executable that does nothing, for one address. */
int main(void)
{
    return 0;
}
