/* A shared object that is no program. */
int not_main(void);
int not_main(void)
{
    return 0;
}
